//! What the identification registers say of the CPUs, in the words of Linux's `/proc/cpuinfo`.

use core::fmt::{Result, Write};

use aarch64_cpu::registers::{MIDR_EL1, Readable};

use super::cpu;

/// Writes the lines after `processor`. The CPUs are taken to be alike: it is the one that asks that is read.
pub fn describe_cpu(text: &mut dyn Write) -> Result {
    writeln!(text, "model name\t: {}", cpu::brand())?;
    write!(text, "Features\t:")?;
    for name in cpu::capability_names() {
        write!(text, " {name}")?;
    }
    let implementer = MIDR_EL1.read(MIDR_EL1::Implementer);
    writeln!(text, "\nCPU implementer\t: {implementer:#04x}")?;
    writeln!(text, "CPU architecture: 8")?;
    let variant = MIDR_EL1.read(MIDR_EL1::Variant);
    writeln!(text, "CPU variant\t: {variant:#x}")?;
    let part = MIDR_EL1.read(MIDR_EL1::PartNum);
    writeln!(text, "CPU part\t: {part:#05x}")?;
    let revision = MIDR_EL1.read(MIDR_EL1::Revision);
    writeln!(text, "CPU revision\t: {revision}")
}
