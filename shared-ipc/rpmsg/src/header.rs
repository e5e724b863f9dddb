//! The 16-byte message header and the name-service message (Linux `drivers/rpmsg/virtio_rpmsg_bus.c`, `rpmsg_ns.c`).

/// Bytes of a buffer with Linux, header included: a constant of the kernel's driver.
pub const BUFFER_BYTES: usize = 512;
/// Bytes of the header.
pub const HEADER_BYTES: usize = 16;
/// Largest payload with Linux.
pub const PAYLOAD_BYTES_MAX: usize = BUFFER_BYTES - HEADER_BYTES;
/// "Any address".
pub const ADDRESS_ANY: u32 = u32::MAX;
/// The name-service endpoint of both sides.
pub const NAME_SERVICE_ADDRESS: u32 = 53;
/// Exact length of a name-service message; Linux rejects any other.
pub const NAME_SERVICE_BYTES: usize = 40;
const NAME_BYTES: usize = 32;

/// The message header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Sender's endpoint.
    pub src: u32,
    /// Receiver's endpoint.
    pub dst: u32,
    /// Payload bytes.
    pub len: u16,
}

impl Header {
    /// The header as it lies in the buffer, little-endian. The reserved word and the flags are 0.
    #[must_use]
    pub fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[0..4].copy_from_slice(&self.src.to_le_bytes());
        out[4..8].copy_from_slice(&self.dst.to_le_bytes());
        out[12..14].copy_from_slice(&self.len.to_le_bytes());
        out
    }

    /// Reads a header. The reserved word is ignored: RPMsg-Lite and OpenAMP keep state there while a buffer is held.
    #[must_use]
    pub fn from_bytes(b: &[u8; HEADER_BYTES]) -> Self {
        Self {
            src: u32::from_le_bytes([b[0], b[1], b[2], b[3]]),
            dst: u32::from_le_bytes([b[4], b[5], b[6], b[7]]),
            len: u16::from_le_bytes([b[12], b[13]]),
        }
    }
}

/// A name-service announcement: a channel appeared or went away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameService {
    name: [u8; NAME_BYTES],
    /// The endpoint that serves the channel.
    pub address: u32,
    /// Whether the channel was destroyed (flag 1) instead of created (flag 0).
    pub destroyed: bool,
}

impl NameService {
    /// An announcement for `name`, or `None` unless that has 1 to 31 bytes without a NUL: the field's last byte stays NUL,
    /// as the kernel forces it.
    #[must_use]
    pub fn new(name: &str, address: u32, destroyed: bool) -> Option<Self> {
        let mut field = [0; NAME_BYTES];
        if name.is_empty() || name.len() >= NAME_BYTES || name.contains('\0') {
            return None;
        }
        field.get_mut(..name.len())?.copy_from_slice(name.as_bytes());
        Some(Self { name: field, address, destroyed })
    }

    /// Whether there is a name at all.
    pub(crate) fn has_name(&self) -> bool {
        self.name[0] != 0
    }

    /// The channel name up to its first NUL, or "" when it is not UTF-8.
    #[must_use]
    pub fn name(&self) -> &str {
        let end = self.name.iter().position(|b| *b == 0).unwrap_or(NAME_BYTES - 1);
        core::str::from_utf8(self.name.get(..end).unwrap_or_default()).unwrap_or("")
    }

    /// The message.
    #[must_use]
    pub fn to_bytes(self) -> [u8; NAME_SERVICE_BYTES] {
        let mut out = [0; NAME_SERVICE_BYTES];
        out[..NAME_BYTES].copy_from_slice(&self.name);
        out[32..36].copy_from_slice(&self.address.to_le_bytes());
        out[36..40].copy_from_slice(&u32::from(self.destroyed).to_le_bytes());
        out
    }

    /// Parses a message; any length but 40 bytes is refused, as Linux does.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let b: &[u8; NAME_SERVICE_BYTES] = bytes.try_into().ok()?;
        let mut name = [0; NAME_BYTES];
        name.copy_from_slice(&b[..NAME_BYTES]);
        name[NAME_BYTES - 1] = 0;
        let flags = u32::from_le_bytes([b[36], b[37], b[38], b[39]]);
        Some(Self { name, address: u32::from_le_bytes([b[32], b[33], b[34], b[35]]), destroyed: flags & 1 == 1 })
    }
}
