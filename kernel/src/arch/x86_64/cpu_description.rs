//! What CPUID says of the CPUs, in the words of Linux's `/proc/cpuinfo`.

use core::fmt::{Result, Write};

use raw_cpuid::CpuId;

use super::{clock, cpu};

/// Writes what is the same for every CPU of the machine: the lines after `processor`.
pub fn describe_cpu(text: &mut dyn Write) -> Result {
    let cpuid = CpuId::new();
    if let Some(vendor) = cpuid.get_vendor_info() {
        writeln!(text, "vendor_id\t: {}", vendor.as_str())?;
    }
    let features = cpuid.get_feature_info();
    if let Some(features) = &features {
        writeln!(text, "cpu family\t: {}", features.family_id())?;
        writeln!(text, "model\t\t: {}", features.model_id())?;
    }
    writeln!(text, "model name\t: {}", cpu::brand())?;
    if let Some(features) = &features {
        writeln!(text, "stepping\t: {}", features.stepping_id())?;
    }
    let khz = clock::hz() / 1000;
    writeln!(text, "cpu MHz\t\t: {}.{:03}", khz / 1000, khz % 1000)?;
    write!(text, "flags\t\t:")?;
    if let Some(has) = &features {
        let flags = [
            ("fpu", has.has_fpu()),
            ("vme", has.has_vme()),
            ("de", has.has_de()),
            ("pse", has.has_pse()),
            ("tsc", has.has_tsc()),
            ("msr", has.has_msr()),
            ("pae", has.has_pae()),
            ("mce", has.has_mce()),
            ("cx8", has.has_cmpxchg8b()),
            ("apic", has.has_apic()),
            ("sep", has.has_sysenter_sysexit()),
            ("mtrr", has.has_mtrr()),
            ("pge", has.has_pge()),
            ("mca", has.has_mca()),
            ("cmov", has.has_cmov()),
            ("pat", has.has_pat()),
            ("pse36", has.has_pse36()),
            ("clflush", has.has_clflush()),
            ("mmx", has.has_mmx()),
            ("fxsr", has.has_fxsave_fxstor()),
            ("sse", has.has_sse()),
            ("sse2", has.has_sse2()),
            ("ss", has.has_ss()),
            ("ht", has.has_htt()),
            ("pni", has.has_sse3()),
            ("pclmulqdq", has.has_pclmulqdq()),
            ("monitor", has.has_monitor_mwait()),
            ("vmx", has.has_vmx()),
            ("ssse3", has.has_ssse3()),
            ("fma", has.has_fma()),
            ("cx16", has.has_cmpxchg16b()),
            ("pcid", has.has_pcid()),
            ("sse4_1", has.has_sse41()),
            ("sse4_2", has.has_sse42()),
            ("x2apic", has.has_x2apic()),
            ("movbe", has.has_movbe()),
            ("popcnt", has.has_popcnt()),
            ("tsc_deadline_timer", has.has_tsc_deadline()),
            ("aes", has.has_aesni()),
            ("xsave", has.has_xsave()),
            ("avx", has.has_avx()),
            ("f16c", has.has_f16c()),
            ("rdrand", has.has_rdrand()),
            ("hypervisor", has.has_hypervisor()),
        ];
        write_flags(text, &flags)?;
    }
    if let Some(has) = cpuid.get_extended_processor_and_feature_identifiers() {
        let flags = [
            ("syscall", has.has_syscall_sysret()),
            ("nx", has.has_execute_disable()),
            ("pdpe1gb", has.has_1gib_pages()),
            ("rdtscp", has.has_rdtscp()),
            ("lm", has.has_64bit_mode()),
            ("lahf_lm", has.has_lahf_sahf()),
            ("abm", has.has_lzcnt()),
        ];
        write_flags(text, &flags)?;
    }
    if let Some(has) = cpuid.get_extended_feature_info() {
        let flags = [
            ("fsgsbase", has.has_fsgsbase()),
            ("bmi1", has.has_bmi1()),
            ("avx2", has.has_avx2()),
            ("smep", has.has_smep()),
            ("bmi2", has.has_bmi2()),
            ("erms", has.has_rep_movsb_stosb()),
            ("invpcid", has.has_invpcid()),
            ("avx512f", has.has_avx512f()),
            ("rdseed", has.has_rdseed()),
            ("adx", has.has_adx()),
            ("smap", has.has_smap()),
            ("clflushopt", has.has_clflushopt()),
            ("clwb", has.has_clwb()),
            ("sha_ni", has.has_sha()),
        ];
        write_flags(text, &flags)?;
    }
    writeln!(text)
}

fn write_flags(text: &mut dyn Write, flags: &[(&str, bool)]) -> Result {
    for (name, _) in flags.iter().filter(|(_, is_there)| *is_there) {
        write!(text, " {name}")?;
    }
    Ok(())
}
