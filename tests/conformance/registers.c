/* Registers for floats and vectors: a thread's own, whatever preempts it and whichever signals it handles. */
#include "conformance.h"

#include <stdint.h>

#define HOLDERS 8
#define ROUNDS 60
/* A round is longer than a tick even where nothing is emulated. */
#define SPINS 4000000L

#if defined(__x86_64__)
#define WORDS 32 /* xmm0 to xmm15 */
#define EACH_PAIR(DO) DO(0, 1) DO(2, 3) DO(4, 5) DO(6, 7) DO(8, 9) DO(10, 11) DO(12, 13) DO(14, 15)
#define LOAD(a, b) "movups " #a "*16(%[in]), %%xmm" #a "\n\tmovups " #b "*16(%[in]), %%xmm" #b "\n\t"
#define STORE(a, b) "movups %%xmm" #a ", " #a "*16(%[out])\n\tmovups %%xmm" #b ", " #b "*16(%[out])\n\t"
#define NAMES(a, b) "xmm" #a, "xmm" #b,

/* What a thread chooses: MXCSR's rounding and flushing, and its flags; the x87's precision and rounding. */
struct control { uint32_t mxcsr; uint16_t x87; };

static struct control control_of(int number)
{
	return (struct control) { 0x1f80 | (number & 3) << 13 | (number & 4) << 13 | (number & 0x3f), 0x37f ^ (number & 3) << 10 };
}

static int same_control(struct control a, struct control b) { return a.mxcsr == b.mxcsr && a.x87 == b.x87; }

/* Puts `in` and `control` into the registers, spins, and reads them all back. */
static struct control hold(const uint64_t *in, uint64_t *out, struct control control, long spins)
{
	struct control found, usual;
	__asm__ volatile(
		"stmxcsr %[usual_mxcsr]\n\tfnstcw %[usual_x87]\n\tldmxcsr %[mxcsr]\n\tfldcw %[x87]\n\t"
		EACH_PAIR(LOAD)
		"1: decq %[spins]\n\tjnz 1b\n\t"
		EACH_PAIR(STORE)
		"stmxcsr %[found_mxcsr]\n\tfnstcw %[found_x87]\n\tldmxcsr %[usual_mxcsr]\n\tfldcw %[usual_x87]"
		: [spins] "+r"(spins), [found_mxcsr] "=m"(found.mxcsr), [found_x87] "=m"(found.x87),
		  [usual_mxcsr] "=m"(usual.mxcsr), [usual_x87] "=m"(usual.x87)
		: [in] "r"(in), [out] "r"(out), [mxcsr] "m"(control.mxcsr), [x87] "m"(control.x87)
		: EACH_PAIR(NAMES) "memory", "cc");
	return found;
}
#elif defined(__aarch64__)
#define WORDS 64 /* q0 to q31 */
#define EACH_PAIR(DO) \
	DO(0, 1) DO(2, 3) DO(4, 5) DO(6, 7) DO(8, 9) DO(10, 11) DO(12, 13) DO(14, 15) \
	DO(16, 17) DO(18, 19) DO(20, 21) DO(22, 23) DO(24, 25) DO(26, 27) DO(28, 29) DO(30, 31)
#define LOAD(a, b) "ldp q" #a ", q" #b ", [%[in], #" #a "*16]\n\t"
#define STORE(a, b) "stp q" #a ", q" #b ", [%[out], #" #a "*16]\n\t"
#define NAMES(a, b) "v" #a, "v" #b,

/* What a thread chooses: FPCR's rounding, flushing and default NaN; FPSR's flags, saturation included. */
struct control { uint64_t fpcr, fpsr; };

static struct control control_of(int number)
{
	return (struct control) { (uint64_t)(number & 15) << 22, (uint64_t)(number & 31) | (uint64_t)(number & 1) << 27 };
}

static int same_control(struct control a, struct control b) { return a.fpcr == b.fpcr && a.fpsr == b.fpsr; }

/* Puts `in` and `control` into the registers, spins, and reads them all back. */
static struct control hold(const uint64_t *in, uint64_t *out, struct control control, long spins)
{
	struct control found, usual;
	__asm__ volatile(
		"mrs %[usual_fpcr], fpcr\n\tmrs %[usual_fpsr], fpsr\n\tmsr fpcr, %[fpcr]\n\tmsr fpsr, %[fpsr]\n\t"
		EACH_PAIR(LOAD)
		"1: subs %[spins], %[spins], #1\n\tb.ne 1b\n\t"
		EACH_PAIR(STORE)
		"mrs %[found_fpcr], fpcr\n\tmrs %[found_fpsr], fpsr\n\tmsr fpcr, %[usual_fpcr]\n\tmsr fpsr, %[usual_fpsr]"
		: [spins] "+r"(spins), [found_fpcr] "=&r"(found.fpcr), [found_fpsr] "=&r"(found.fpsr),
		  [usual_fpcr] "=&r"(usual.fpcr), [usual_fpsr] "=&r"(usual.fpsr)
		: [in] "r"(in), [out] "r"(out), [fpcr] "r"(control.fpcr), [fpsr] "r"(control.fpsr)
		: EACH_PAIR(NAMES) "memory", "cc");
	return found;
}
#endif

static atomic_int handled, running;

/* Leaves other values in all of them, for whoever goes on without having restored its own. */
static void spoil(int unused)
{
	uint64_t other[WORDS], found[WORDS];
	(void)unused;
	for (int i = 0; i < WORDS; i++) other[i] = ~(uint64_t)i;
	hold(other, found, control_of(63), 1);
	handled++;
}

static void *holder(void *argument)
{
	int number = *(int *)argument;
	struct control control = control_of(number);
	uint64_t mine[WORDS], found[WORDS];
	for (int i = 0; i < WORDS; i++) mine[i] = (uint64_t)(number + 1) << 56 | (uint64_t)i << 32 | 0x5a5a5a5a;
	for (int round = 0; round < ROUNDS; round++) {
		HOLDS("pthread_create, Linux: control registers are each thread's own", same_control(hold(mine, found, control, SPINS), control));
		IS("pthread_create, Linux: vector registers are each thread's own", memcmp(mine, found, sizeof mine), 0);
	}
	running--;
	return 0;
}

void check_registers(void)
{
	struct sigaction action = { .sa_handler = spoil };
	pthread_t threads[HOLDERS];
	int numbers[HOLDERS];
	sigaction(SIGUSR2, &action, 0);
	running = HOLDERS;
	for (int i = 0; i < HOLDERS; i++) {
		numbers[i] = i;
		SUCCEEDS(pthread_create(&threads[i], 0, holder, &numbers[i]));
	}
	for (int i = 0; running == HOLDERS; i++) {
		usleep(2000);
		SUCCEEDS(pthread_kill(threads[i % HOLDERS], SIGUSR2));
	}
	for (int i = 0; i < HOLDERS; i++) SUCCEEDS(pthread_join(threads[i], 0));
	HOLDS("pthread_kill, DESCRIPTION: handlers ran meanwhile", handled > 10);
	signal(SIGUSR2, SIG_DFL);
}
