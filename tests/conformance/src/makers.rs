//! The sides that there are: our own stack as a Rust library, and whatever RPMsg-Lite library is linked.

use coracle_rpmsg::{Device, Driver, Fault, Geometry, Instance, Layout, Role};

use crate::{DEVICE_ADDRESS, Maker, Memory, Side};

const ENDPOINTS: usize = 15;

impl<R: Role> Side for Instance<R, ENDPOINTS> {
    const ASKS_FOR_KICKS: bool = true;

    fn take_kick(&mut self) -> Option<u8> {
        Instance::take_kick(self)
    }

    fn notified(&mut self, _kick: u8) {
        Instance::notified(self);
    }

    fn for_nobody(&self) -> Option<u32> {
        Some(self.counters().get(Fault::Endpoint))
    }
}

fn layout(memory: Memory) -> Layout<'static> {
    Layout::contiguous(memory.region, DEVICE_ADDRESS, memory.geometry).unwrap()
}

/// Our stack as the driver.
#[derive(Debug)]
pub struct DirectDriver;

impl Maker for DirectDriver {
    type Side = Instance<Driver<'static>, ENDPOINTS>;
    const OURS: bool = true;
    const ENDPOINTS: usize = ENDPOINTS;

    fn make(memory: Memory) -> Self::Side {
        Instance::new(Driver::new(&layout(memory)).unwrap())
    }

    fn supports(_: Geometry) -> bool {
        true
    }
}

/// Our stack as the device.
#[derive(Debug)]
pub struct DirectDevice;

impl Maker for DirectDevice {
    type Side = Instance<Device<'static>, ENDPOINTS>;
    const OURS: bool = true;
    const ENDPOINTS: usize = ENDPOINTS;

    fn make(memory: Memory) -> Self::Side {
        Instance::new(Device::new(&layout(memory)).unwrap())
    }

    fn make_again(memory: Memory) -> Self::Side {
        Instance::new(Device::resume(&layout(memory)).unwrap())
    }

    fn supports(_: Geometry) -> bool {
        true
    }
}

#[cfg(feature = "rpmsg-lite")]
pub use library::{LibraryMaster, LibraryRemote};

#[cfg(feature = "rpmsg-lite")]
mod library {
    use coracle_rpmsg::{Geometry, VRING_ENTRIES_MAX};
    use coracle_rpmsg_lite::{Instance, Storage, check_geometry};

    use super::ENDPOINTS;
    use crate::{DEVICE_ADDRESS, Maker, Memory, Side};

    type Library = Instance<'static, ENDPOINTS, VRING_ENTRIES_MAX>;

    impl Side for Library {
        const ASKS_FOR_KICKS: bool = false;

        fn take_kick(&mut self) -> Option<u8> {
            Instance::take_kick(self)
        }

        fn notified(&mut self, kick: u8) {
            Instance::notified(self, kick);
        }

        fn for_nobody(&self) -> Option<u32> {
            None
        }
    }

    fn storage() -> &'static mut Storage<ENDPOINTS, VRING_ENTRIES_MAX> {
        Box::leak(Box::new(Storage::new()))
    }

    /// The library as the master.
    #[derive(Debug)]
    pub struct LibraryMaster;

    impl LibraryMaster {
        /// The link id that it uses.
        pub const LINK_ID: u32 = 0;
    }

    impl Maker for LibraryMaster {
        type Side = Library;
        const OURS: bool = cfg!(feature = "rpmsg-lite-is-ours");
        const ENDPOINTS: usize = ENDPOINTS;

        fn make(memory: Memory) -> Library {
            Instance::master(memory.region, DEVICE_ADDRESS, memory.geometry, Self::LINK_ID, storage()).unwrap()
        }

        fn supports(geometry: Geometry) -> bool {
            check_geometry(geometry).is_ok()
        }
    }

    /// The library as the remote.
    #[derive(Debug)]
    pub struct LibraryRemote;

    impl LibraryRemote {
        /// The link id that it uses: another than the master's, so that both can be in one process.
        pub const LINK_ID: u32 = 15;
    }

    impl Maker for LibraryRemote {
        type Side = Library;
        const OURS: bool = cfg!(feature = "rpmsg-lite-is-ours");
        const ENDPOINTS: usize = ENDPOINTS;

        fn make(memory: Memory) -> Library {
            Instance::remote(memory.region, DEVICE_ADDRESS, memory.geometry, Self::LINK_ID, storage()).unwrap()
        }

        fn supports(geometry: Geometry) -> bool {
            check_geometry(geometry).is_ok()
        }
    }
}
