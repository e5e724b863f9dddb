//! The table of imports, and which grant links each.

/// A number that crosses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// `i32`
    I32,
    /// `i64`
    I64,
}

/// On which cores an import exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cores {
    /// On both.
    Both,
    /// On the A core alone.
    A,
}

/// One import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Import {
    /// Import module name.
    pub module: &'static str,
    /// Import field name.
    pub name: &'static str,
    /// Its parameters, at most [`PARAMS_MAX`].
    pub params: &'static [Type],
    /// Its result.
    pub result: Option<Type>,
    /// The grant that links it, or `None` when every container has it.
    pub grant: Option<GrantKind>,
    /// Where it exists.
    pub cores: Cores,
    /// Which call it is.
    pub call: Call,
}

/// The kinds of grant that a manifest gives; the words are the keys of `[container.x.grants]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GrantKind {
    /// `sensors`
    Sensors,
    /// `pins`
    Pins,
    /// `i2c`
    I2c,
    /// `spi`
    Spi,
    /// `publish`
    Publish,
    /// `subscribe`
    Subscribe,
    /// `wake`
    Wake,
    /// `kv`
    Kv,
    /// `files`
    Files,
}

impl GrantKind {
    /// The manifest key.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            GrantKind::Sensors => "sensors",
            GrantKind::Pins => "pins",
            GrantKind::I2c => "i2c",
            GrantKind::Spi => "spi",
            GrantKind::Publish => "publish",
            GrantKind::Subscribe => "subscribe",
            GrantKind::Wake => "wake",
            GrantKind::Kv => "kv",
            GrantKind::Files => "files",
        }
    }
}

/// The host calls. What each means is in `wit/coracle.wit` and in the WASI documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Call {
    /// `coracle:log@1` `write`
    LogWrite,
    /// `coracle:config@1` `get`
    ConfigGet,
    /// `coracle:config@1` `version`
    ConfigVersion,
    /// `coracle:event@1` `read`
    EventRead,
    /// `coracle:event@1` `current`
    EventCurrent,
    /// `coracle:event@1` `wait`
    EventWait,
    /// `coracle:time@1` `now`
    TimeNow,
    /// `coracle:time@1` `set_timer`
    TimeSetTimer,
    /// `coracle:time@1` `cancel`
    TimeCancel,
    /// `coracle:time@1` `remaining`
    TimeRemaining,
    /// `coracle:time@1` `sleep`
    TimeSleep,
    /// `coracle:sensor@1` `open`
    SensorOpen,
    /// `coracle:sensor@1` `close`
    SensorClose,
    /// `coracle:sensor@1` `info`
    SensorInfo,
    /// `coracle:sensor@1` `read_block`
    SensorReadBlock,
    /// `coracle:sensor@1` `set_rate`
    SensorSetRate,
    /// `coracle:sensor@1` `set_threshold`
    SensorSetThreshold,
    /// `coracle:gpio@1` `open`
    GpioOpen,
    /// `coracle:gpio@1` `close`
    GpioClose,
    /// `coracle:gpio@1` `read`
    GpioRead,
    /// `coracle:gpio@1` `write`
    GpioWrite,
    /// `coracle:gpio@1` `watch`
    GpioWatch,
    /// `coracle:i2c@1` `open`
    I2cOpen,
    /// `coracle:i2c@1` `close`
    I2cClose,
    /// `coracle:i2c@1` `write_read`
    I2cWriteRead,
    /// `coracle:spi@1` `open`
    SpiOpen,
    /// `coracle:spi@1` `close`
    SpiClose,
    /// `coracle:spi@1` `transfer`
    SpiTransfer,
    /// `coracle:msg@1` `publish`
    MsgPublish,
    /// `coracle:msg@1` `publish_retained`
    MsgPublishRetained,
    /// `coracle:msg@1` `subscribe`
    MsgSubscribe,
    /// `coracle:msg@1` `unsubscribe`
    MsgUnsubscribe,
    /// `coracle:msg@1` `request`
    MsgRequest,
    /// `coracle:msg@1` `reply`
    MsgReply,
    /// `coracle:msg@1` `wait`
    MsgWait,
    /// `coracle:kv@1` `get`
    KvGet,
    /// `coracle:kv@1` `set`
    KvSet,
    /// `coracle:kv@1` `delete`
    KvDelete,
    /// `coracle:kv@1` `next`
    KvNext,
    /// `coracle:wake@1` `request`
    WakeRequest,
    /// `wasi_snapshot_preview1` `args_sizes_get`
    WasiArgsSizesGet,
    /// `wasi_snapshot_preview1` `args_get`
    WasiArgsGet,
    /// `wasi_snapshot_preview1` `environ_sizes_get`
    WasiEnvironSizesGet,
    /// `wasi_snapshot_preview1` `environ_get`
    WasiEnvironGet,
    /// `wasi_snapshot_preview1` `clock_res_get`
    WasiClockResGet,
    /// `wasi_snapshot_preview1` `clock_time_get`
    WasiClockTimeGet,
    /// `wasi_snapshot_preview1` `random_get`
    WasiRandomGet,
    /// `wasi_snapshot_preview1` `sched_yield`
    WasiSchedYield,
    /// `wasi_snapshot_preview1` `proc_exit`
    WasiProcExit,
    /// `wasi_snapshot_preview1` `poll_oneoff`
    WasiPollOneoff,
    /// `wasi_snapshot_preview1` `fd_write`
    WasiFdWrite,
    /// `wasi_snapshot_preview1` `fd_read`
    WasiFdRead,
    /// `wasi_snapshot_preview1` `fd_close`
    WasiFdClose,
    /// `wasi_snapshot_preview1` `fd_seek`
    WasiFdSeek,
    /// `wasi_snapshot_preview1` `fd_fdstat_get`
    WasiFdFdstatGet,
    /// `wasi_snapshot_preview1` `fd_prestat_get`
    WasiFdPrestatGet,
    /// `wasi_snapshot_preview1` `fd_prestat_dir_name`
    WasiFdPrestatDirName,
    /// `wasi_snapshot_preview1` `path_open`
    WasiPathOpen,
    /// `wasi_snapshot_preview1` `fd_filestat_get`
    WasiFdFilestatGet,
    /// `wasi_snapshot_preview1` `path_filestat_get`
    WasiPathFilestatGet,
    /// `wasi_snapshot_preview1` `fd_readdir`
    WasiFdReaddir,
    /// `wasi_snapshot_preview1` `path_create_directory`
    WasiPathCreateDirectory,
    /// `wasi_snapshot_preview1` `path_unlink_file`
    WasiPathUnlinkFile,
    /// `wasi_snapshot_preview1` `path_rename`
    WasiPathRename,
    /// `wasi_snapshot_preview1` `fd_sync`
    WasiFdSync,
    /// `wasi_snapshot_preview1` `fd_tell`
    WasiFdTell,
}

/// Most parameters of an import.
pub const PARAMS_MAX: usize = 9;

const fn import(
    module: &'static str,
    name: &'static str,
    params: &'static [Type],
    result: Option<Type>,
    grant: Option<GrantKind>,
    call: Call,
) -> Import {
    let cores = if matches!(grant, Some(GrantKind::Files)) { Cores::A } else { Cores::Both };
    Import { module, name, params, result, grant, cores, call }
}

const I: Type = Type::I32;
const L: Type = Type::I64;
const WASI: &str = crate::wasi::MODULE;

/// Every import that exists. What is not in this table does not link on either core.
#[rustfmt::skip]
pub const IMPORTS: [Import; 66] = [
    import("coracle:log@1", "write", &[I, I, I], Some(I), None, Call::LogWrite),
    import("coracle:config@1", "get", &[I, I, I, I], Some(I), None, Call::ConfigGet),
    import("coracle:config@1", "version", &[], Some(I), None, Call::ConfigVersion),
    import("coracle:event@1", "read", &[I, I], Some(I), None, Call::EventRead),
    import("coracle:event@1", "current", &[I], Some(I), None, Call::EventCurrent),
    import("coracle:event@1", "wait", &[I, L, I], Some(I), None, Call::EventWait),
    import("coracle:time@1", "now", &[], Some(L), None, Call::TimeNow),
    import("coracle:time@1", "set_timer", &[L, L, L], Some(I), None, Call::TimeSetTimer),
    import("coracle:time@1", "cancel", &[I], Some(I), None, Call::TimeCancel),
    import("coracle:time@1", "remaining", &[I], Some(L), None, Call::TimeRemaining),
    import("coracle:time@1", "sleep", &[L], Some(I), None, Call::TimeSleep),
    import("coracle:sensor@1", "open", &[I, I], Some(I), Some(GrantKind::Sensors), Call::SensorOpen),
    import("coracle:sensor@1", "close", &[I], Some(I), Some(GrantKind::Sensors), Call::SensorClose),
    import("coracle:sensor@1", "info", &[I, I], Some(I), Some(GrantKind::Sensors), Call::SensorInfo),
    import("coracle:sensor@1", "read_block", &[I, I, I, I], Some(I), Some(GrantKind::Sensors), Call::SensorReadBlock),
    import("coracle:sensor@1", "set_rate", &[I, I], Some(I), Some(GrantKind::Sensors), Call::SensorSetRate),
    import("coracle:sensor@1", "set_threshold", &[I, I, I], Some(I), Some(GrantKind::Sensors), Call::SensorSetThreshold),
    import("coracle:gpio@1", "open", &[I, I], Some(I), Some(GrantKind::Pins), Call::GpioOpen),
    import("coracle:gpio@1", "close", &[I], Some(I), Some(GrantKind::Pins), Call::GpioClose),
    import("coracle:gpio@1", "read", &[I], Some(I), Some(GrantKind::Pins), Call::GpioRead),
    import("coracle:gpio@1", "write", &[I, I], Some(I), Some(GrantKind::Pins), Call::GpioWrite),
    import("coracle:gpio@1", "watch", &[I, I, I], Some(I), Some(GrantKind::Pins), Call::GpioWatch),
    import("coracle:i2c@1", "open", &[I, I], Some(I), Some(GrantKind::I2c), Call::I2cOpen),
    import("coracle:i2c@1", "close", &[I], Some(I), Some(GrantKind::I2c), Call::I2cClose),
    import("coracle:i2c@1", "write_read", &[I, I, I, I, I, I], Some(I), Some(GrantKind::I2c), Call::I2cWriteRead),
    import("coracle:spi@1", "open", &[I, I], Some(I), Some(GrantKind::Spi), Call::SpiOpen),
    import("coracle:spi@1", "close", &[I], Some(I), Some(GrantKind::Spi), Call::SpiClose),
    import("coracle:spi@1", "transfer", &[I, I, I, I, I], Some(I), Some(GrantKind::Spi), Call::SpiTransfer),
    import("coracle:msg@1", "publish", &[I, I, I, I], Some(I), Some(GrantKind::Publish), Call::MsgPublish),
    import("coracle:msg@1", "publish_retained", &[I, I, I, I], Some(I), Some(GrantKind::Publish), Call::MsgPublishRetained),
    import("coracle:msg@1", "subscribe", &[I, I], Some(I), Some(GrantKind::Subscribe), Call::MsgSubscribe),
    import("coracle:msg@1", "unsubscribe", &[I, I], Some(I), Some(GrantKind::Subscribe), Call::MsgUnsubscribe),
    import("coracle:msg@1", "request", &[I, I, I, I, L], Some(I), Some(GrantKind::Publish), Call::MsgRequest),
    import("coracle:msg@1", "reply", &[I, I], Some(I), Some(GrantKind::Subscribe), Call::MsgReply),
    import("coracle:msg@1", "wait", &[L, I], Some(I), None, Call::MsgWait),
    import("coracle:kv@1", "get", &[I, I, I, I], Some(I), Some(GrantKind::Kv), Call::KvGet),
    import("coracle:kv@1", "set", &[I, I, I, I], Some(I), Some(GrantKind::Kv), Call::KvSet),
    import("coracle:kv@1", "delete", &[I, I], Some(I), Some(GrantKind::Kv), Call::KvDelete),
    import("coracle:kv@1", "next", &[I, I, I, I], Some(I), Some(GrantKind::Kv), Call::KvNext),
    import("coracle:wake@1", "request", &[I, I, I, I], Some(I), Some(GrantKind::Wake), Call::WakeRequest),
    import(WASI, "args_sizes_get", &[I, I], Some(I), None, Call::WasiArgsSizesGet),
    import(WASI, "args_get", &[I, I], Some(I), None, Call::WasiArgsGet),
    import(WASI, "environ_sizes_get", &[I, I], Some(I), None, Call::WasiEnvironSizesGet),
    import(WASI, "environ_get", &[I, I], Some(I), None, Call::WasiEnvironGet),
    import(WASI, "clock_res_get", &[I, I], Some(I), None, Call::WasiClockResGet),
    import(WASI, "clock_time_get", &[I, L, I], Some(I), None, Call::WasiClockTimeGet),
    import(WASI, "random_get", &[I, I], Some(I), None, Call::WasiRandomGet),
    import(WASI, "sched_yield", &[], Some(I), None, Call::WasiSchedYield),
    import(WASI, "proc_exit", &[I], None, None, Call::WasiProcExit),
    import(WASI, "poll_oneoff", &[I, I, I, I], Some(I), None, Call::WasiPollOneoff),
    import(WASI, "fd_write", &[I, I, I, I], Some(I), None, Call::WasiFdWrite),
    import(WASI, "fd_read", &[I, I, I, I], Some(I), None, Call::WasiFdRead),
    import(WASI, "fd_close", &[I], Some(I), None, Call::WasiFdClose),
    import(WASI, "fd_seek", &[I, L, I, I], Some(I), None, Call::WasiFdSeek),
    import(WASI, "fd_fdstat_get", &[I, I], Some(I), None, Call::WasiFdFdstatGet),
    import(WASI, "fd_prestat_get", &[I, I], Some(I), None, Call::WasiFdPrestatGet),
    import(WASI, "fd_prestat_dir_name", &[I, I, I], Some(I), None, Call::WasiFdPrestatDirName),
    import(WASI, "path_open", &[I, I, I, I, I, L, L, I, I], Some(I), Some(GrantKind::Files), Call::WasiPathOpen),
    import(WASI, "fd_filestat_get", &[I, I], Some(I), Some(GrantKind::Files), Call::WasiFdFilestatGet),
    import(WASI, "path_filestat_get", &[I, I, I, I, I], Some(I), Some(GrantKind::Files), Call::WasiPathFilestatGet),
    import(WASI, "fd_readdir", &[I, I, I, L, I], Some(I), Some(GrantKind::Files), Call::WasiFdReaddir),
    import(WASI, "path_create_directory", &[I, I, I], Some(I), Some(GrantKind::Files), Call::WasiPathCreateDirectory),
    import(WASI, "path_unlink_file", &[I, I, I], Some(I), Some(GrantKind::Files), Call::WasiPathUnlinkFile),
    import(WASI, "path_rename", &[I, I, I, I, I, I], Some(I), Some(GrantKind::Files), Call::WasiPathRename),
    import(WASI, "fd_sync", &[I], Some(I), Some(GrantKind::Files), Call::WasiFdSync),
    import(WASI, "fd_tell", &[I, I], Some(I), Some(GrantKind::Files), Call::WasiFdTell),
];

/// The entry of [`IMPORTS`] with those names.
#[must_use]
pub fn find_import(module: &str, name: &str) -> Option<&'static Import> {
    IMPORTS.iter().find(|i| i.module == module && i.name == name)
}

impl Call {
    /// Its entry in [`IMPORTS`].
    #[must_use]
    pub fn import(self) -> Option<&'static Import> {
        IMPORTS.get(usize::from(self as u8))
    }

    /// Whether it is one of WASI, whose results are WASI's.
    #[must_use]
    pub fn is_wasi(self) -> bool {
        self as u8 >= Call::WasiArgsSizesGet as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_are_named_once_and_stand_at_their_number() {
        for (i, a) in IMPORTS.iter().enumerate() {
            assert!(!IMPORTS[i + 1..].iter().any(|b| (a.module, a.name) == (b.module, b.name)));
            assert_eq!(find_import(a.module, a.name).map(|f| f.call), Some(a.call));
            assert_eq!(a.call.import(), Some(a));
            assert_eq!(a.call.is_wasi(), a.module == WASI, "{}", a.name);
            assert!(a.params.len() <= PARAMS_MAX);
        }
    }
}
