//! The initial stack of a program: `argc`, `argv…`, NULL, `envp…`, NULL, the
//! auxiliary vector, AT_NULL, and above them the strings these point to.
//!
//! Source: System V ABI, AMD64 supplement, section 3.4.1 "Initial Stack and
//! Register State"; AArch64 lays out the same words in the same order.

use alloc::vec::Vec;

/// The ABI wants the stack pointer on a multiple of this at program entry.
const STACK_ALIGN: usize = 16;

/// A stack image and the address its first byte has to be copied to.
pub struct InitialStack {
    /// Where `argc` lies: the stack pointer at program entry.
    pub stack_pointer: usize,
    /// What to copy to `stack_pointer`.
    pub bytes: Vec<u8>,
}

/// Lays out the initial stack that ends at `top`.
///
/// `auxv` holds pairs of type and value without the closing AT_NULL. A string
/// that contains a NUL ends there for the program, as it would on any system.
/// `random` is the 16 bytes that AT_RANDOM (`random_type`) is to point at.
pub fn lay_out(
    top: usize,
    arguments: &[&[u8]],
    environment: &[&[u8]],
    auxv: &[(usize, usize)],
    random_type: usize,
    random: [u8; 16],
) -> InitialStack {
    let strings = arguments.iter().chain(environment);
    let strings_len = strings.clone().map(|s| s.len() + 1).sum::<usize>() + random.len();
    let strings_start = top - strings_len;

    // argc, two closing NULLs; AT_RANDOM and AT_NULL are pairs.
    let words = 1 + arguments.len() + 1 + environment.len() + 1 + 2 * (auxv.len() + 2);
    let stack_pointer = (strings_start - words * size_of::<usize>()) & !(STACK_ALIGN - 1);

    let mut bytes = Vec::with_capacity(top - stack_pointer);
    let mut push = |word: usize| bytes.extend_from_slice(&word.to_ne_bytes());
    let mut next_string = strings_start + random.len();
    let mut string = |s: &&[u8]| {
        let address = next_string;
        next_string += s.len() + 1;
        address
    };
    push(arguments.len());
    arguments.iter().for_each(|s| push(string(s)));
    push(0);
    environment.iter().for_each(|s| push(string(s)));
    push(0);
    for &(kind, value) in auxv {
        push(kind);
        push(value);
    }
    push(random_type);
    push(strings_start);
    push(0);
    push(0);

    bytes.resize(strings_start - stack_pointer, 0);
    bytes.extend_from_slice(&random);
    for s in strings {
        bytes.extend_from_slice(s);
        bytes.push(0);
    }
    InitialStack {
        stack_pointer,
        bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOP: usize = 0x7000_0000;

    struct Reader<'a>(&'a InitialStack);

    impl Reader<'_> {
        fn word(&self, index: usize) -> usize {
            let at = index * size_of::<usize>();
            usize::from_ne_bytes(
                self.0.bytes[at..at + size_of::<usize>()]
                    .try_into()
                    .unwrap(),
            )
        }

        fn string(&self, address: usize) -> &[u8] {
            let bytes = &self.0.bytes[address - self.0.stack_pointer..];
            &bytes[..bytes.iter().position(|&b| b == 0).unwrap()]
        }
    }

    #[test]
    fn a_program_finds_its_arguments_environment_and_vector() {
        for extra in [&[][..], &[b"odd".as_slice()][..]] {
            let environment = [&[b"A=1".as_slice()][..], extra].concat();
            let stack = lay_out(
                TOP,
                &[b"python3", b"-c", b""],
                &environment,
                &[(6, 4096)],
                25,
                [7; 16],
            );
            assert_eq!(stack.stack_pointer % STACK_ALIGN, 0);
            assert_eq!(stack.stack_pointer + stack.bytes.len(), TOP);
            let r = Reader(&stack);
            assert_eq!(r.word(0), 3);
            assert_eq!(r.string(r.word(1)), b"python3");
            assert_eq!(r.string(r.word(3)), b"");
            assert_eq!(r.word(4), 0);
            assert_eq!(r.string(r.word(5)), b"A=1");
            let after = 5 + environment.len();
            assert_eq!(r.word(after), 0);
            assert_eq!((r.word(after + 1), r.word(after + 2)), (6, 4096));
            assert_eq!(r.word(after + 3), 25);
            let random = r.word(after + 4) - stack.stack_pointer;
            assert_eq!(&stack.bytes[random..random + 16], &[7; 16]);
            assert_eq!((r.word(after + 5), r.word(after + 6)), (0, 0));
        }
    }
}
