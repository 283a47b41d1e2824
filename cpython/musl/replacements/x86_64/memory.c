/* memcpy, memmove and memset with 16-byte moves. musl's own for x86_64 are built on
 * `rep movsq` and `std; rep movsb`, which lose by half where CPython copies and joins
 * much, and by more under emulation.
 *
 * Every load of a call that can overlap a store of its own is done before that store,
 * so memcpy is memmove. */
#include <emmintrin.h>
#include <stddef.h>
#include <stdint.h>

typedef uint64_t __attribute__((__may_alias__, __aligned__(1))) word64;
typedef uint32_t __attribute__((__may_alias__, __aligned__(1))) word32;
typedef uint16_t __attribute__((__may_alias__, __aligned__(1))) word16;

static inline __m128i load(const unsigned char *from)
{
	return _mm_loadu_si128((const __m128i *)from);
}

static inline void store(unsigned char *to, __m128i value)
{
	_mm_storeu_si128((__m128i *)to, value);
}

/* Up to 16 bytes: the first and the last part of a fitting size, overlapping. */
static inline void move_small(unsigned char *to, const unsigned char *from, size_t n)
{
	if (n >= 8) {
		uint64_t first = *(const word64 *)from, last = *(const word64 *)(from + n - 8);
		*(word64 *)to = first;
		*(word64 *)(to + n - 8) = last;
	} else if (n >= 4) {
		uint32_t first = *(const word32 *)from, last = *(const word32 *)(from + n - 4);
		*(word32 *)to = first;
		*(word32 *)(to + n - 4) = last;
	} else if (n >= 2) {
		uint16_t first = *(const word16 *)from, last = *(const word16 *)(from + n - 2);
		*(word16 *)to = first;
		*(word16 *)(to + n - 2) = last;
	} else if (n) {
		*to = *from;
	}
}

/* More than 64 bytes, towards higher addresses: right if `to` lies below `from` or beyond its end. */
static void move_up(unsigned char *to, const unsigned char *from, size_t n)
{
	__m128i head = load(from);
	__m128i tail0 = load(from + n - 64), tail1 = load(from + n - 48);
	__m128i tail2 = load(from + n - 32), tail3 = load(from + n - 16);
	unsigned char *start = to, *end = to + n;
	/* Aligned stores from here on; the head is stored last, for it may be source still. */
	size_t skip = 16 - ((uintptr_t)to & 15);
	to += skip;
	from += skip;
	while (end - to > 64) {
		__m128i a = load(from), b = load(from + 16), c = load(from + 32), d = load(from + 48);
		_mm_store_si128((__m128i *)to, a);
		_mm_store_si128((__m128i *)(to + 16), b);
		_mm_store_si128((__m128i *)(to + 32), c);
		_mm_store_si128((__m128i *)(to + 48), d);
		to += 64;
		from += 64;
	}
	store(end - 64, tail0);
	store(end - 48, tail1);
	store(end - 32, tail2);
	store(end - 16, tail3);
	store(start, head);
}

/* More than 64 bytes, towards lower addresses: for `to` inside the source. */
static void move_down(unsigned char *to, const unsigned char *from, size_t n)
{
	__m128i head0 = load(from), head1 = load(from + 16);
	__m128i head2 = load(from + 32), head3 = load(from + 48);
	__m128i tail = load(from + n - 16);
	unsigned char *start = to, *end = to + n;
	unsigned char *t = (unsigned char *)((uintptr_t)(end - 1) & ~(uintptr_t)15);
	const unsigned char *f = from + (t - start);
	while (t - start > 64) {
		t -= 64;
		f -= 64;
		__m128i a = load(f), b = load(f + 16), c = load(f + 32), d = load(f + 48);
		_mm_store_si128((__m128i *)(t + 48), d);
		_mm_store_si128((__m128i *)(t + 32), c);
		_mm_store_si128((__m128i *)(t + 16), b);
		_mm_store_si128((__m128i *)t, a);
	}
	store(start + 48, head3);
	store(start + 32, head2);
	store(start + 16, head1);
	store(start, head0);
	store(end - 16, tail);
}

void *memmove(void *destination, const void *source, size_t n)
{
	unsigned char *to = destination;
	const unsigned char *from = source;
	if (n <= 16) {
		move_small(to, from, n);
	} else if (n <= 32) {
		__m128i a = load(from), b = load(from + n - 16);
		store(to, a);
		store(to + n - 16, b);
	} else if (n <= 64) {
		__m128i a = load(from), b = load(from + 16);
		__m128i c = load(from + n - 32), d = load(from + n - 16);
		store(to, a);
		store(to + 16, b);
		store(to + n - 32, c);
		store(to + n - 16, d);
	} else if ((uintptr_t)to - (uintptr_t)from >= n) {
		move_up(to, from, n);
	} else {
		move_down(to, from, n);
	}
	return destination;
}

void *memcpy(void *restrict, const void *restrict, size_t) __attribute__((__alias__("memmove")));

void *memset(void *destination, int byte, size_t n)
{
	unsigned char *to = destination;
	uint64_t word = (uint64_t)(unsigned char)byte * 0x0101010101010101u;
	if (n < 16) {
		if (n >= 8) {
			*(word64 *)to = word;
			*(word64 *)(to + n - 8) = word;
		} else if (n >= 4) {
			*(word32 *)to = (uint32_t)word;
			*(word32 *)(to + n - 4) = (uint32_t)word;
		} else if (n >= 2) {
			*(word16 *)to = (uint16_t)word;
			*(word16 *)(to + n - 2) = (uint16_t)word;
		} else if (n) {
			*to = (unsigned char)word;
		}
		return destination;
	}
	__m128i value = _mm_set1_epi64x((long long)word);
	unsigned char *end = to + n;
	store(to, value);
	store(end - 16, value);
	for (to += 16 - ((uintptr_t)to & 15); end - to > 16; to += 16)
		_mm_store_si128((__m128i *)to, value);
	return destination;
}
