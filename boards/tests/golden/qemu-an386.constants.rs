// @generated from boards/qemu-an386.toml: edit that file instead.
/// Name of the board.
pub const NAME: &str = "qemu-an386";
/// Clock of the UARTs and timers, in hertz.
pub const CLOCK_HZ: u32 = 25000000;
/// Where everything is in the memory that both cores see.
pub const SHARED: SharedLayout = SharedLayout {
    address: 0x21000000,
    bytes: 0x1000000,
    vring_num: 64,
    vring_align: 4096,
    resource_table: Span { offset: 0x0, bytes: 0x1000 },
    vring0: Span { offset: 0x2000, bytes: 0x2000 },
    vring1: Span { offset: 0x4000, bytes: 0x2000 },
    buffers: Span { offset: 0x10000, bytes: 0x10000 },
    log: Span { offset: 0x20000, bytes: 0x10000 },
    bulk_to_m: Span { offset: 0x100000, bytes: 0x100000 },
    bulk_to_a: Span { offset: 0x200000, bytes: 0x100000 },
    retained: Span { offset: 0x300000, bytes: 0x80000 },
    trace: None,
};
/// What the M core may spend.
pub const BUDGET: Budget = Budget {
    heap_bytes: 0x100000,
    stack_bytes: 0x10000,
    containers_max: 8,
    linear_memory_bytes_max: 0x80000,
    module_bytes_max: 0x20000,
};
/// The UART in the role `console`.
pub const CONSOLE: UartSpec = UartSpec { address: 0x40004000, rx_irq: 0, tx_irq: 1 };
/// The UART in the role `doorbell`.
pub const DOORBELL: UartSpec = UartSpec { address: 0x40005000, rx_irq: 2, tx_irq: 3 };
/// The UART in the role `sensor`.
pub const SENSOR: UartSpec = UartSpec { address: 0x40006000, rx_irq: 4, tx_irq: 5 };
/// The timer in the role `clock`.
pub const CLOCK: TimerSpec = TimerSpec { address: 0x40000000, irq: 8 };
/// The timer in the role `alarm`.
pub const ALARM: TimerSpec = TimerSpec { address: 0x40001000, irq: 9 };
