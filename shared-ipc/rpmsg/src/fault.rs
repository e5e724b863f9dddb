//! What can be wrong with what the other side wrote, and how often it was.

/// How the other side broke the protocol.
///
/// All but [`Fault::Index`] and [`Fault::Layout`] concern one buffer or message: it is given back or dropped, counted, and
/// the link goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Fault {
    /// An index moved by more than the ring holds: which entries are new is unknown, so the rings must be set up anew.
    Index = 1,
    /// A descriptor id outside the ring, or of a descriptor that the peer does not hold.
    Descriptor = 2,
    /// A descriptor with a chain or an indirect table, which RPMsg does not use.
    Chain = 3,
    /// A descriptor's address or length outside the buffers.
    Address = 4,
    /// A descriptor too short for a message, or a header's length that is longer than its buffer.
    Length = 5,
    /// A message on the name-service endpoint that does not have 40 bytes, or has no name.
    NameService = 6,
    /// A message for an endpoint that nobody has. Also what a message to an endpoint just destroyed looks like.
    Endpoint = 7,
    /// The layout does not fit its regions. Not the other side's doing: the board description is wrong.
    Layout = 8,
}

impl core::fmt::Display for Fault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Fault::Index => "the peer moved a ring index by more than the ring holds; the rings must be set up anew",
            Fault::Descriptor => "the peer used a descriptor that it does not hold",
            Fault::Chain => "the peer chained descriptors, which RPMsg does not use",
            Fault::Address => "the peer named a buffer outside the shared buffers",
            Fault::Length => "the peer gave a length that does not fit the buffer",
            Fault::NameService => "the peer sent a malformed name-service message",
            Fault::Endpoint => "the peer sent to an endpoint that nobody has",
            Fault::Layout => "the ring layout does not fit its memory; correct the board description",
        })
    }
}

impl core::error::Error for Fault {}

impl From<coracle_shmem::OutOfRegion> for Fault {
    fn from(_: coracle_shmem::OutOfRegion) -> Self {
        Fault::Layout
    }
}

/// How often each [`Fault`] was seen. The counts stop at their largest value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    counts: [u32; 8],
}

impl Counters {
    /// How often `fault` was seen.
    #[must_use]
    pub fn get(&self, fault: Fault) -> u32 {
        self.counts.get(fault as usize - 1).copied().unwrap_or(0)
    }

    /// Faults of all kinds.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The sums of both, kind by kind.
    #[must_use]
    pub fn plus(mut self, other: Self) -> Self {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count = count.saturating_add(more);
        }
        self
    }

    /// Counts, and hands the fault on.
    pub(crate) fn count(&mut self, fault: Fault) -> Fault {
        if let Some(count) = self.counts.get_mut(fault as usize - 1) {
            *count = count.saturating_add(1);
        }
        fault
    }
}
