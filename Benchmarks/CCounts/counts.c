#define _GNU_SOURCE
#include "CCounts.h"
#include <capstone/capstone.h>
#include <errno.h>
#include <gnu/libc-version.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static void fail(const char *what) {
    perror(what);
    exit(1);
}

const char *ccounts_libc_version(void) { return gnu_get_libc_version(); }

// MARK: Children

static bool wait_for_mark(pid_t child) {
    int status;
    if (waitpid(child, &status, 0) != child) fail("waitpid");
    return WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP;
}

pid_t ccounts_fork(void) {
    pid_t child = fork();
    if (child < 0) fail("fork");
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, 0, 0)) fail("ptrace(PTRACE_TRACEME)");
        ccounts_mark();
        return 0;
    }
    if (!wait_for_mark(child)) fail("a traced process does not start");
    if (ptrace(PTRACE_SETOPTIONS, child, 0, PTRACE_O_EXITKILL)) fail("ptrace(PTRACE_SETOPTIONS)");
    return child;
}

void ccounts_mark(void) { syscall(SYS_kill, syscall(SYS_getpid), SIGSTOP); }

bool ccounts_skip(pid_t child) {
    if (ptrace(PTRACE_CONT, child, 0, 0)) fail("ptrace(PTRACE_CONT)");
    return wait_for_mark(child);
}

int ccounts_end(pid_t child) {
    int status;
    if (ptrace(PTRACE_CONT, child, 0, 0)) fail("ptrace(PTRACE_CONT)");
    if (waitpid(child, &status, 0) != child) fail("waitpid");
    if (WIFSTOPPED(status)) {
        kill(child, SIGKILL);
        waitpid(child, &status, 0);
    }
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

#if defined(__x86_64__)

// MARK: Instructions

enum { places = 1 << 14, longest = 15 };

/// What has been decoded, by address. Children are forks of one process: the same code lies at the same address in all.
static struct { uint64_t address; cs_insn *instruction; } decoded[places];
static csh decoder;

static cs_insn *decode(pid_t child, uint64_t address) {
    if (!decoder) {
        if (cs_open(CS_ARCH_X86, CS_MODE_64, &decoder)) fail("cs_open");
        cs_option(decoder, CS_OPT_DETAIL, CS_OPT_ON);
    }
    size_t place = (address * 0x9e3779b97f4a7c15) >> 50;
    for (; decoded[place].instruction; place = (place + 1) % places)
        if (decoded[place].address == address) return decoded[place].instruction;
    uint64_t code[2];
    for (int word = 0; word < 2; word++) {
        errno = 0;
        code[word] = (uint64_t)ptrace(PTRACE_PEEKTEXT, child, address + 8 * (uint64_t)word, 0);
        // The second word may lie behind the end of the code.
        if (errno) code[word] = 0x9090909090909090;
    }
    // What the decoder does not know is of the C library, for the newest processors: it counts, and touches no arena.
    static cs_detail nothing;
    static cs_insn unknown = {.detail = &nothing};
    if (!cs_disasm(decoder, (const uint8_t *)code, longest, address, 1, &decoded[place].instruction))
        decoded[place].instruction = &unknown;
    decoded[place].address = address;
    return decoded[place].instruction;
}

static uint64_t value(x86_reg id, const struct user_regs_struct *r, const cs_insn *instruction) {
    switch (id) {
    case X86_REG_INVALID: return 0;
    case X86_REG_RIP: return instruction->address + instruction->size;
    case X86_REG_RAX: return r->rax;
    case X86_REG_RBX: return r->rbx;
    case X86_REG_RCX: return r->rcx;
    case X86_REG_RDX: return r->rdx;
    case X86_REG_RSI: return r->rsi;
    case X86_REG_RDI: return r->rdi;
    case X86_REG_RBP: return r->rbp;
    case X86_REG_RSP: return r->rsp;
    case X86_REG_R8: return r->r8;
    case X86_REG_R9: return r->r9;
    case X86_REG_R10: return r->r10;
    case X86_REG_R11: return r->r11;
    case X86_REG_R12: return r->r12;
    case X86_REG_R13: return r->r13;
    case X86_REG_R14: return r->r14;
    case X86_REG_R15: return r->r15;
    default:
        fprintf(stderr, "counts: an address by register %s: %s %s\n", cs_reg_name(decoder, id), instruction->mnemonic,
                instruction->op_str);
        exit(1);
    }
}

/// An exchange with memory locks without the prefix (Intel SDM vol. 2D, XCHG).
static bool is_locked(const cs_insn *instruction, bool touches_memory) {
    return instruction->detail->x86.prefix[0] == X86_PREFIX_LOCK || (instruction->id == X86_INS_XCHG && touches_memory);
}

static void note(uint64_t *lines, uint64_t from, uint64_t to) {
    for (uint64_t line = from / 64; line <= to / 64; line++) lines[line / 64] |= 1ull << line % 64;
}

/// The operands that lie in the memory that is watched. Those of string instructions and of segments are not looked at:
/// nothing in an arena is copied by the former, and a thread's own memory is none of it.
static void count(const cs_insn *instruction, const struct user_regs_struct *r, uint64_t base, size_t bytes,
                  struct ccounts_tally *tally) {
    const cs_x86 *x86 = &instruction->detail->x86;
    bool touches_memory = false;
    tally->instructions++;
    if (instruction->id == X86_INS_SYSCALL) tally->system_calls++;
    for (int i = 0; i < x86->op_count; i++) {
        const cs_x86_op *operand = &x86->operands[i];
        if (operand->type != X86_OP_MEM || instruction->id == X86_INS_LEA || instruction->id == X86_INS_NOP) continue;
        touches_memory = true;
        if (operand->mem.segment != X86_REG_INVALID) continue;
        uint64_t at = value(operand->mem.base, r, instruction) +
                      value(operand->mem.index, r, instruction) * (uint64_t)operand->mem.scale +
                      (uint64_t)operand->mem.disp - base;
        if (at >= bytes) continue;
        uint64_t last = at + (operand->size ? operand->size : 1) - 1;
        // What is locked reads and writes, whatever the decoder says of its operand.
        if (operand->access & CS_AC_READ || is_locked(instruction, true)) note(tally->lines_read, at, last);
        if (operand->access & CS_AC_WRITE || is_locked(instruction, true)) note(tally->lines_written, at, last);
    }
    if (is_locked(instruction, touches_memory)) tally->locked++;
}

bool ccounts_follow(pid_t child, const void *memory, size_t bytes, uint64_t limit, struct ccounts_tally *tally) {
    while (tally->instructions < limit) {
        struct user_regs_struct registers;
        if (ptrace(PTRACE_GETREGS, child, 0, &registers)) fail("ptrace(PTRACE_GETREGS)");
        count(decode(child, registers.rip), &registers, (uint64_t)memory, bytes, tally);
        if (ptrace(PTRACE_SINGLESTEP, child, 0, 0)) fail("ptrace(PTRACE_SINGLESTEP)");
        int status;
        if (waitpid(child, &status, 0) != child) fail("waitpid");
        if (!WIFSTOPPED(status)) return false;
        if (WSTOPSIG(status) == SIGSTOP) return true;
        if (WSTOPSIG(status) != SIGTRAP) break;
    }
    kill(child, SIGKILL);
    int status;
    waitpid(child, &status, 0);
    return false;
}

#else

bool ccounts_follow(pid_t child, const void *memory, size_t bytes, uint64_t limit, struct ccounts_tally *tally) {
    (void)memory, (void)bytes, (void)limit, (void)tally;
    kill(child, SIGKILL);
    int status;
    waitpid(child, &status, 0);
    return false;
}

#endif
