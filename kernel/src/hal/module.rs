//! The module: its functions and constants, and how Python comes to know it.

use core::ffi::{CStr, c_int, c_long, c_void};
use core::ptr::null_mut;

use cpython_sys as py;
use cpython_sys::PyObject;

use super::call::function;
use super::object::{self, Error, Object, Result};
use super::{
    buffers, console, counters, dma, frames, interrupts, mmio, network, pages, pci, ports,
    registers, self_test,
};
use crate::arch;
use crate::memory::PAGE_SIZE;
use crate::memory::physical::flags;
use crate::start;

/// What the module keeps.
#[repr(C)]
pub struct State {
    /// The type of DMA buffers.
    pub dma_buffer: *mut py::PyTypeObject,
    /// A dict: the interrupt router and the event loop.
    pub settings: *mut PyObject,
}

impl State {
    /// Returns that of a module whose `execute` has run.
    pub fn of<'a>(module: *mut PyObject) -> &'a State {
        // SAFETY: the interpreter keeps a module alive during calls of its functions, and `size` below made
        // room for a `State`.
        unsafe { &*py::PyModule_GetState(module).cast::<State>() }
    }
}

/// C structures that the interpreter may change, under its own locks.
#[repr(transparent)]
struct Shared<T>(core::cell::UnsafeCell<T>);

// SAFETY: we build them as constants and never touch them again.
unsafe impl<T> Sync for Shared<T> {}

impl<T> Shared<T> {
    const fn new(value: T) -> Self {
        Self(core::cell::UnsafeCell::new(value))
    }
}

const END: py::PyMethodDef = py::PyMethodDef {
    ml_name: core::ptr::null(),
    ml_meth: None,
    ml_flags: 0,
    ml_doc: core::ptr::null(),
};

static FUNCTIONS: Shared<[py::PyMethodDef; 54]> = Shared::new([
    function!(c"perf_counter", [], 0, registers::counter,
        c"perf_counter()\n--\n\nReads the CPU's counter behind the clock; it counts perf_frequency() times a second."),
    function!(c"perf_frequency", [], 0, registers::frequency,
        c"perf_frequency()\n--\n\nReturns how often perf_counter() counts in a second, in Hz."),
    function!(c"inb", [c"port"], 1, ports::inb,
        c"inb(port)\n--\n\nReads a byte from an I/O port. OSError on architectures without ports."),
    function!(c"inw", [c"port"], 1, ports::inw,
        c"inw(port)\n--\n\nReads 16 bits from an I/O port. OSError on architectures without ports."),
    function!(c"inl", [c"port"], 1, ports::inl,
        c"inl(port)\n--\n\nReads 32 bits from an I/O port. OSError on architectures without ports."),
    function!(c"outb", [c"port", c"value"], 2, ports::outb,
        c"outb(port, value)\n--\n\nWrites a byte to an I/O port. OSError on architectures without ports."),
    function!(c"outw", [c"port", c"value"], 2, ports::outw,
        c"outw(port, value)\n--\n\nWrites 16 bits to an I/O port. OSError on architectures without ports."),
    function!(c"outl", [c"port", c"value"], 2, ports::outl,
        c"outl(port, value)\n--\n\nWrites 32 bits to an I/O port. OSError on architectures without ports."),
    function!(c"mmio_read8", [c"address"], 1, mmio::read8,
        c"mmio_read8(address)\n--\n\nReads a byte at a virtual address, or below 4 GiB at a device's physical one.\n\nOSError where nothing is."),
    function!(c"mmio_read32", [c"address"], 1, mmio::read32,
        c"mmio_read32(address)\n--\n\nReads 32 bits at an aligned virtual address, or below 4 GiB at a device's physical one.\n\nOSError where nothing is."),
    function!(c"mmio_write8", [c"address", c"value"], 2, mmio::write8,
        c"mmio_write8(address, value)\n--\n\nWrites a byte; addresses are as for mmio_read8.\n\nOSError where nothing is, and where the kernel's own memory is."),
    function!(c"mmio_write32", [c"address", c"value"], 2, mmio::write32,
        c"mmio_write32(address, value)\n--\n\nWrites 32 bits; addresses are as for mmio_read32.\n\nOSError where nothing is, and where the kernel's own memory is."),
    function!(c"mmio_fill32", [c"address", c"value", c"count"], 3, mmio::fill32,
        c"mmio_fill32(address, value, count)\n--\n\nWrites the same 32 bits to count words in a row."),
    function!(c"mmio_write_buf32", [c"address", c"buffer"], 2, mmio::write_buf32,
        c"mmio_write_buf32(address, buffer)\n--\n\nWrites a buffer of whole 32-bit words to words in a row, a word at a time."),
    function!(c"buf_fill32", [c"buffer", c"value"], 2, buffers::fill32,
        c"buf_fill32(buffer, value)\n--\n\nFills a writable buffer with a 32-bit word."),
    function!(c"buf_fill32_at", [c"buffer", c"offset", c"value", c"count"], 4, buffers::fill32_at,
        c"buf_fill32_at(buffer, offset, value, count)\n--\n\nFills count words of a writable buffer with a 32-bit word, from byte offset on."),
    function!(c"buf_addr", [c"buffer"], 1, buffers::address,
        c"buf_addr(buffer)\n--\n\nReturns the virtual address of a buffer's first byte."),
    function!(c"dma_alloc", [c"size", c"align"], 1, dma::alloc,
        c"dma_alloc(size, align=4096)\n--\n\nReturns a DmaBuffer of size bytes of zeros, whose physical address is a multiple of align.\n\nMemoryError if there are not so many frames in a row."),
    function!(c"dma_free", [c"buffer"], 1, dma::free,
        c"dma_free(buffer)\n--\n\nGives a DmaBuffer's memory back now. BufferError while a memoryview of it lives, ValueError the second time."),
    function!(c"frame_stats", [], 0, frames::stats,
        c"frame_stats()\n--\n\nReturns (total, free, largest_free_run), in frames of PAGE_SIZE bytes."),
    function!(c"frames_alloc", [c"count", c"align_frames"], 1, frames::alloc,
        c"frames_alloc(count, align_frames=1)\n--\n\nTakes frames of zeros in a row and returns the physical address of the first. MemoryError if there are none."),
    function!(c"frames_free", [c"phys", c"count"], 2, frames::free,
        c"frames_free(phys, count)\n--\n\nGives back what one frames_alloc gave, else ValueError. Frames that are mapped go back when they are unmapped."),
    function!(c"page_map", [c"virt", c"phys", c"length", c"flags"], 4, pages::map,
        c"page_map(virt, phys, length, flags)\n--\n\nMaps frames of Python's or a device's registers at virt, or anywhere if that is 0; returns where.\n\nOSError if something is mapped there, or phys is the kernel's memory."),
    function!(c"page_unmap", [c"virt", c"length"], 2, pages::unmap,
        c"page_unmap(virt, length)\n--\n\nUnmaps what page_map mapped, or part of it; OSError for anything else."),
    function!(c"page_protect", [c"virt", c"length", c"flags"], 3, pages::protect,
        c"page_protect(virt, length, flags)\n--\n\nChanges what may be done with what page_map mapped, or part of it; OSError for anything else."),
    function!(c"page_entry", [c"virt"], 1, pages::entry,
        c"page_entry(virt)\n--\n\nReturns the physical address and the flags of the page that holds a virtual address, or None if nothing is mapped there."),
    function!(c"pci_config_read", [c"bus", c"device", c"function", c"offset", c"width"], 5, pci::read,
        c"pci_config_read(bus, device, function, offset, width)\n--\n\nReads 1, 2 or 4 bytes of configuration space; all ones where there is no device."),
    function!(c"pci_config_write", [c"bus", c"device", c"function", c"offset", c"width", c"value"], 6, pci::write,
        c"pci_config_write(bus, device, function, offset, width, value)\n--\n\nWrites 1, 2 or 4 bytes of configuration space."),
    function!(c"pci_segments", [], 0, pci::segments,
        c"pci_segments()\n--\n\nReturns a list of (segment, first bus, last bus, physical address of the ECAM or None)."),
    function!(c"read_cr2", [], 0, registers::fault_address,
        c"read_cr2()\n--\n\nReturns the address of this CPU's last page fault: CR2, or FAR_EL1."),
    function!(c"read_cr3", [], 0, registers::page_table_root,
        c"read_cr3()\n--\n\nReturns the physical address of the page tables' root: CR3, or TTBR0_EL1."),
    function!(c"write_cr3", [c"value"], 1, registers::set_page_table_root,
        c"write_cr3(value)\n--\n\nMakes this CPU forget its translations. ValueError for another value than read_cr3() gives: there is one address space."),
    function!(c"invlpg", [c"address"], 1, registers::forget_translation,
        c"invlpg(address)\n--\n\nMakes every CPU forget its translation of one page."),
    function!(c"threads", [], 0, counters::threads,
        c"threads()\n--\n\nReturns a list of (tid, name, state, cpu, cpu_time_ns); state is running, ready, waiting or ended."),
    function!(c"cpus", [], 0, counters::cpus,
        c"cpus()\n--\n\nReturns a list of (index, online, busy_ns, idle_ns, run_queue, switches, steals, ipis, interrupts)."),
    function!(c"log", [c"level", c"target", c"text"], 3, console::log,
        c"log(level, target, text)\n--\n\nWrites lines to the kernel log; level is LOG_DEBUG, LOG_INFO, LOG_WARN or LOG_ERROR, target a name as kernel.bus."),
    function!(c"serial_write", [c"data"], 1, console::write,
        c"serial_write(data)\n--\n\nWrites bytes to the serial port, past the terminal; returns their number."),
    function!(c"pthread_selftest", [], 0, self_test::threads,
        c"pthread_selftest()\n--\n\nRuns four POSIX threads that count under one mutex; returns how many there were. OSError if the count is wrong."),
    function!(c"smp_run_selftest", [], 0, self_test::cpus,
        c"smp_run_selftest()\n--\n\nRuns a kernel thread on every CPU; returns on how many it did its work."),
    function!(c"set_interrupt_router", [c"router"], 1, interrupts::set_router,
        c"set_interrupt_router(router)\n--\n\nHas router(vector, cpu, time_ns, count_lost) called on the interrupt thread for each event; None ends that.\n\ncount_lost is how many events of this vector on this CPU were lost since the one before. What it raises goes to\nsys.unraisablehook."),
    function!(c"set_event_loop", [c"loop"], 1, interrupts::set_loop,
        c"set_event_loop(loop)\n--\n\nHas the router called by an asyncio loop's thread (call_soon_threadsafe) in place of the interrupt thread; None ends that."),
    function!(c"drain_interrupts", [], 0, interrupts::drain,
        c"drain_interrupts()\n--\n\nTakes the events that wait, up to 4096, as a list of (vector, cpu, time_ns, count_lost): what is left where there is no router."),
    function!(c"interrupts", [], 0, interrupts::list,
        c"interrupts()\n--\n\nReturns a list of (vector, name, interrupts taken by each CPU, events lost)."),
    function!(c"interrupt_watch", [c"vector", c"on"], 1, interrupts::watch,
        c"interrupt_watch(vector, on=True)\n--\n\nMakes each interrupt of a vector an event, or no longer. Those of msi_alloc and irq_route are watched from the start."),
    function!(c"msi_alloc", [c"count"], 0, interrupts::alloc_messages,
        c"msi_alloc(count=1)\n--\n\nTakes vectors for a device's messages; returns (first vector, address, data) for its MSI registers.\n\nOSError where the machine takes no messages."),
    function!(c"irq_route", [c"kind", c"number"], 2, interrupts::route_line,
        c"irq_route(kind, number)\n--\n\nLets a line through to the boot CPU and returns its vector; kind is isa or gsi, or spi on arm64.\n\nA level-triggered line is masked at each interrupt until irq_unmask. OSError if there is none or it has a handler."),
    function!(c"irq_unmask", [c"vector"], 1, interrupts::unmask,
        c"irq_unmask(vector)\n--\n\nLets a line through again, after its device has been dealt with; returns whether the vector is a device's."),
    function!(c"vector_free", [c"vector"], 1, interrupts::free,
        c"vector_free(vector)\n--\n\nGives back one vector of msi_alloc or irq_route; ValueError for any other."),
    function!(c"thread_raise", [c"ident", c"exception"], 2, interrupts::raise_in_thread,
        c"thread_raise(ident, exception)\n--\n\nRaises an exception in the Python thread with that threading ident, and breaks off what it waits for.\n\nLookupError if there is none."),
    function!(c"net_interfaces", [], 0, network::interfaces,
        c"net_interfaces()\n--\n\nReturns the network interfaces as dicts: name, index, mac, mtu, up, addresses, dhcp, lease, rx_* and tx_*."),
    function!(c"net_routes", [], 0, network::routes,
        c"net_routes()\n--\n\nReturns the routes as dicts: destination, gateway (None: this network is ours), interface."),
    function!(c"net_sockets", [], 0, network::sockets,
        c"net_sockets()\n--\n\nReturns the sockets with an address as dicts: protocol, local, remote, state, receive_queue, send_queue."),
    function!(c"net_configure", [c"name", c"dhcp", c"addresses", c"gateway", c"up"], 1, network::configure,
        c"net_configure(name, dhcp=None, addresses=None, gateway=None, up=None)\n--\n\nSets up an interface; None leaves a thing as it is, and gateway '' is none.\n\ndhcp False keeps the address of the lease. OSError if there is no such interface."),
    END,
]);

static SLOTS: Shared<[py::PyModuleDef_Slot; 4]> = Shared::new([
    py::PyModuleDef_Slot {
        slot: py::Py_mod_exec as c_int,
        value: execute as *mut c_void,
    },
    py::PyModuleDef_Slot {
        slot: py::Py_mod_multiple_interpreters as c_int,
        value: py::MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED,
    },
    py::PyModuleDef_Slot {
        slot: py::Py_mod_gil as c_int,
        value: py::MOD_GIL_NOT_USED,
    },
    py::PyModuleDef_Slot {
        slot: 0,
        value: null_mut(),
    },
]);

static MODULE: Shared<py::PyModuleDef> = Shared::new(py::PyModuleDef {
    m_base: py::MODULE_DEF_HEAD,
    m_name: c"_hal".as_ptr(),
    m_doc: c"The machine. Wrong arguments raise; right ones go to the hardware as they are."
        .as_ptr(),
    m_size: size_of::<State>() as isize,
    m_methods: FUNCTIONS.0.get().cast(),
    m_slots: SLOTS.0.get().cast(),
    m_traverse: None,
    m_clear: None,
    m_free: Some(free),
});

/// Constants that are numbers.
fn numbers() -> [(&'static CStr, u64); 16] {
    let counts = start::cpu_counts();
    [
        (c"SMP_CPUS", counts.expected as u64),
        (c"SMP_ONLINE", counts.online as u64),
        (c"SMP_WORKERS", counts.tested as u64),
        (c"BSP_APIC_ID", arch::registers::boot_cpu_id()),
        (c"PY_GIL_DISABLED", py::IS_FREE_THREADED.into()),
        (c"PAGE_SIZE", PAGE_SIZE as u64),
        (c"PAGE_READ", flags::READ.into()),
        (c"PAGE_WRITE", flags::WRITE.into()),
        (c"PAGE_EXEC", flags::EXECUTE.into()),
        (c"PAGE_DEVICE", flags::DEVICE.into()),
        (c"LOG_DEBUG", 0),
        (c"LOG_INFO", 1),
        (c"LOG_WARN", 2),
        (c"LOG_ERROR", 3),
        (c"HAS_PORTS", arch::ports::HAS_PORTS.into()),
        (c"PHYSICAL_BITS", arch::registers::physical_bits().into()),
    ]
}

fn add(module: *mut PyObject, name: &CStr, value: &Object) -> Result<()> {
    // SAFETY: all are alive.
    match unsafe { py::PyModule_AddObjectRef(module, name.as_ptr(), value.as_ptr()) } {
        0 => Ok(()),
        _ => Err(Error::Raised),
    }
}

fn fill(module: *mut PyObject) -> Result<()> {
    for (name, value) in numbers() {
        // SAFETY: the module is alive and the value fits: a count, an id, a flag.
        if unsafe { py::PyModule_AddIntConstant(module, name.as_ptr(), value as c_long) } != 0 {
            return Err(Error::Raised);
        }
    }
    add(
        module,
        c"ARCH",
        &object::str(arch::MACHINE_NAME.as_bytes())?,
    )?;
    let kind = dma::make_type(module)?;
    add(module, c"DmaBuffer", &kind)?;
    // SAFETY: the caller is attached to the interpreter.
    let settings = Object::from_new(unsafe { py::PyDict_New() })?;
    for (name, value) in interrupts::vectors() {
        add(module, name, &object::int(value)?)?;
    }
    // SAFETY: the interpreter made room for a `State`, and nobody uses the module yet.
    unsafe {
        let state = py::PyModule_GetState(module).cast::<State>();
        (*state).dma_buffer = kind.into_ptr().cast();
        (*state).settings = settings.into_ptr();
    }
    Ok(())
}

/// Fills a new module: the interpreter's second phase of making one.
unsafe extern "C" fn execute(module: *mut PyObject) -> c_int {
    match fill(module) {
        Ok(()) => 0,
        Err(error) => {
            error.raise();
            -1
        }
    }
}

/// The module dies.
unsafe extern "C" fn free(module: *mut c_void) {
    // SAFETY: the interpreter passes the module; its state holds nothing or a reference.
    unsafe {
        let state = py::PyModule_GetState(module.cast()).cast::<State>();
        if !state.is_null() && !(*state).dma_buffer.is_null() {
            py::Py_DecRef((*state).dma_buffer.cast());
            py::Py_DecRef((*state).settings);
            (*state).dma_buffer = null_mut();
        }
    }
}

/// Makes the module: the first phase.
unsafe extern "C" fn init() -> *mut PyObject {
    // SAFETY: the definition is a static.
    unsafe { py::PyModuleDef_Init(MODULE.0.get()) }
}

/// Adds `_hal` to the built-in modules, before the interpreter starts; false if there is no memory.
pub fn register() -> bool {
    // SAFETY: the interpreter has not started; the name is a static.
    unsafe { py::PyImport_AppendInittab(c"_hal".as_ptr(), Some(init)) == 0 }
}
