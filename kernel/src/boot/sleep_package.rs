//! Finds `\_S5` in an ACPI definition block: the values that turn the machine
//! off.
//!
//! `\_S5` is a static package, so no interpreter is needed: only its encoding is
//! read (ACPI 6.5, 20.2: NameOp NameString PackageOp PkgLength NumElements, then
//! integer constants). What is not exactly that is not taken.

/// The values for SLP_TYP in the PM1a and PM1b control registers (ACPI 6.5,
/// 7.4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SleepTypes {
    pub pm1a: u8,
    pub pm1b: u8,
}

const NAME_OP: u8 = 0x08;
const ROOT_CHAR: u8 = b'\\';
const PACKAGE_OP: u8 = 0x12;

/// Finds the soft-off state in the AML of a DSDT or SSDT.
pub fn find_soft_off(aml: &[u8]) -> Option<SleepTypes> {
    aml.windows(4)
        .enumerate()
        .filter(|(_, name)| *name == b"_S5_")
        .find_map(|(at, _)| {
            let before = &aml[..at];
            let named = before.ends_with(&[NAME_OP]) || before.ends_with(&[NAME_OP, ROOT_CHAR]);
            named.then(|| parse_package(&aml[at + 4..])).flatten()
        })
}

fn parse_package(aml: &[u8]) -> Option<SleepTypes> {
    let rest = aml.strip_prefix(&[PACKAGE_OP])?;
    // PkgLength: the two top bits of the first byte tell how many follow.
    let follow = usize::from(*rest.first()? >> 6);
    let rest = rest.get(1 + follow..)?;
    let (&elements, rest) = rest.split_first()?;
    if elements < 1 {
        return None;
    }
    let (pm1a, rest) = parse_integer(rest)?;
    // A package of one element serves both registers: some firmware has it.
    let pm1b = if elements >= 2 {
        parse_integer(rest)?.0
    } else {
        pm1a
    };
    Some(SleepTypes {
        pm1a: pm1a & 7,
        pm1b: pm1b & 7,
    })
}

/// Reads an integer constant; only its lowest byte matters here.
fn parse_integer(aml: &[u8]) -> Option<(u8, &[u8])> {
    let (&op, rest) = aml.split_first()?;
    let width = match op {
        // ZeroOp and OneOp.
        0x00 | 0x01 => return Some((op, rest)),
        // BytePrefix, WordPrefix, DWordPrefix, QWordPrefix.
        0x0a => 1,
        0x0b => 2,
        0x0c => 4,
        0x0e => 8,
        _ => return None,
    };
    Some((*rest.first()?, rest.get(width..)?))
}

#[cfg(test)]
mod tests {
    use super::{SleepTypes, find_soft_off};

    #[test]
    fn reads_what_qemu_has() {
        // Name (\_S5, Package (0x04) { Zero, Zero, Zero, Zero })
        let aml = b"\x10\x20\\\0\x08_S5_\x12\x06\x04\0\0\0\0\x5b";
        assert_eq!(find_soft_off(aml), Some(SleepTypes { pm1a: 0, pm1b: 0 }));
    }

    #[test]
    fn reads_prefixed_integers_and_a_rooted_name() {
        let aml = b"\x08\\_S5_\x12\x0a\x02\x0a\x07\x0b\x05\x00";
        assert_eq!(find_soft_off(aml), Some(SleepTypes { pm1a: 7, pm1b: 5 }));
    }

    #[test]
    fn takes_nothing_else() {
        for aml in [
            &b"_S5_\x12\x06\x04\0\0"[..],
            b"\x08_S5_\x0a\x05",
            b"\x08_S5_\x12\x06\x02\x70\x70",
            b"\x08_S5_\x12",
            b"\x08_S5_",
            b"",
        ] {
            assert_eq!(find_soft_off(aml), None, "{aml:?}");
        }
    }

    #[test]
    fn a_mention_before_the_definition_does_not_hide_it() {
        let aml = b"\x0d_S5_\0\x08_S5_\x12\x08\x04\x0a\x05\x0a\x05\0\0";
        assert_eq!(find_soft_off(aml), Some(SleepTypes { pm1a: 5, pm1b: 5 }));
    }
}
