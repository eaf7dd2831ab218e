import Testing

/// The built program, as a user runs it.
///
/// Runs come one after the other: each wants two processors for itself. No test depends on how long anything takes;
/// the only times are guards against waiting for ever.
@Suite(.serialized) enum EndToEnd {}
