"""Prints the prime numbers up to a limit: `primes.py [limit]`, 100 if none is given."""

from __future__ import annotations

import sys


def primes(limit: int) -> list[int]:
    """Returns the primes up to and including `limit`, by the sieve of Eratosthenes."""
    is_prime = bytearray([1]) * (limit + 1)
    is_prime[:2] = bytes(min(2, limit + 1))
    for number in range(2, int(limit**0.5) + 1):
        if is_prime[number]:
            multiples = range(number * number, limit + 1, number)
            is_prime[multiples.start :: number] = bytes(len(multiples))
    return [number for number, prime in enumerate(is_prime) if prime]


def main(argv: list[str]) -> int:
    """Prints the primes and how many they are; returns the exit status."""
    text = argv[1] if len(argv) > 1 else "100"
    if not text.isdecimal():
        print(f"primes: {text}: not a whole number of at least 0", file=sys.stderr)
        return 2
    found = primes(int(text))
    print(*found)
    print(f"{len(found)} primes up to {int(text)}")
    return 0


if __name__ in ("__main__", "<run_path>"):
    status = main(globals().get("argv", sys.argv))
    if status:
        sys.exit(status)
