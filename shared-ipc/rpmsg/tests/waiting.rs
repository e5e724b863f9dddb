//! Waiting senders and receivers: nobody sleeps through the kick that it waits for, and nobody is kicked for nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use coracle_rpmsg::{
    ADDRESS_ANY, Device, Driver, Fault, Geometry, Held, Instance, Layout, NAME_SERVICE_ADDRESS, PAYLOAD_BYTES_MAX,
    Received, Role, Rpmsg, RpmsgError, VringSize, ZeroCopy,
};
use coracle_shmem::HeapRegion;

/// Far longer than anything here takes: a lost kick shows as this time out.
const PATIENCE: Duration = Duration::from_secs(30);

fn geometry() -> Geometry {
    Geometry::new(VringSize::new(4, 16).unwrap(), 128, 64).unwrap()
}

fn layout(heap: &HeapRegion) -> Layout<'_> {
    Layout::contiguous(heap.region(), 0x1000, geometry()).unwrap()
}

type Pair<'m> = (Instance<Driver<'m>, 4>, Instance<Device<'m>, 4>);

fn pair(heap: &HeapRegion) -> Pair<'_> {
    let driver = Instance::new(Driver::new(&layout(heap)).unwrap());
    let mut device = Instance::new(Device::new(&layout(heap)).unwrap());
    device.set_link_up();
    (driver, device)
}

struct Wakes(AtomicU32);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn waker() -> (Arc<Wakes>, Waker) {
    let wakes = Arc::new(Wakes(AtomicU32::new(0)));
    (wakes.clone(), wakes.into())
}

fn kicks<R: Role>(instance: &mut Instance<R, 4>) -> Vec<u8> {
    std::iter::from_fn(|| instance.take_kick()).collect()
}

#[test]
fn an_async_sender_is_woken_by_the_kick_for_its_buffer() {
    let heap = HeapRegion::new(geometry().bytes());
    let (mut driver, mut device) = pair(&heap);
    let (near, far) = (driver.create_endpoint(ADDRESS_ANY).unwrap(), device.create_endpoint(ADDRESS_ANY).unwrap());
    assert_eq!((near.address(), far.address()), (1024, 1), "as Linux and as RPMsg-Lite do");
    let (wakes, waker) = waker();
    let mut context = Context::from_waker(&waker);
    for i in 0..4 {
        assert_eq!(driver.poll_send(&mut context, near, 1, &[i]), Poll::Ready(Ok(())));
    }
    assert_eq!(driver.poll_send(&mut context, near, 1, &[4]), Poll::Pending);
    let mut payload = [0; PAYLOAD_BYTES_MAX];
    let message = Received::Message { endpoint: far, src: 1024, len: 1 };
    assert_eq!(device.receive(&mut payload), Ok(Some(message)));
    assert_eq!(kicks(&mut device), [1], "the sender waits");
    assert_eq!(wakes.0.load(Ordering::Relaxed), 0);
    driver.notified();
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
    assert_eq!(driver.poll_send(&mut context, near, 1, &[4]), Poll::Ready(Ok(())));
    assert_eq!(device.receive(&mut payload), Ok(Some(message)));
    assert_eq!(kicks(&mut device), [], "nobody waits any more");
}

#[test]
fn an_async_receiver_is_woken_and_a_device_waits_for_the_link() {
    let heap = HeapRegion::new(geometry().bytes());
    let mut driver: Instance<_, 4> = Instance::new(Driver::new(&layout(&heap)).unwrap());
    let mut device: Instance<_, 4> = Instance::new(Device::new(&layout(&heap)).unwrap());
    let far = device.create_endpoint(30).unwrap();
    let (wakes, waker) = waker();
    let mut context = Context::from_waker(&waker);
    assert!(!device.is_link_up());
    assert_eq!(device.send(far, 53, &[1]), Err(RpmsgError::NotReady));
    assert!(device.alloc_tx().is_err());
    assert_eq!(device.poll_send(&mut context, far, 9, &[1]), Poll::Pending);
    // The driver's first kick is the link.
    device.notified();
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
    assert!(device.is_link_up());
    assert_eq!(device.poll_send(&mut context, far, 9, &[1]), Poll::Ready(Ok(())));
    let near = driver.create_endpoint(9).unwrap();
    let mut payload = [0; PAYLOAD_BYTES_MAX];
    let got = driver.poll_receive(&mut context, &mut payload);
    assert_eq!(got, Poll::Ready(Ok(Received::Message { endpoint: near, src: 30, len: 1 })));
    assert_eq!(driver.poll_receive(&mut context, &mut payload), Poll::Pending);
    driver.notified();
    assert_eq!(wakes.0.load(Ordering::Relaxed), 2);
}

/// A device that starts declines kicks for buffers; the wish of a task that waited before is not forgotten with that.
#[test]
fn a_sender_that_waited_for_the_link_is_kicked_for_a_buffer_too() {
    let heap = HeapRegion::new(geometry().bytes());
    let mut driver: Instance<_, 4> = Instance::new(Driver::new(&layout(&heap)).unwrap());
    let mut device: Instance<_, 4> = Instance::new(Device::new(&layout(&heap)).unwrap());
    let (near, far) = (driver.create_endpoint(9).unwrap(), device.create_endpoint(30).unwrap());
    let (wakes, waker) = waker();
    let mut context = Context::from_waker(&waker);
    assert_eq!(device.poll_send(&mut context, far, 9, &[0]), Poll::Pending);
    device.notified();
    // Others are quicker.
    for i in 1..=4 {
        device.send(far, 9, &[i]).unwrap();
    }
    assert_eq!(device.poll_send(&mut context, far, 9, &[0]), Poll::Pending);
    assert_eq!((kicks(&mut driver), wakes.0.load(Ordering::Relaxed)), (vec![0], 1));
    let mut payload = [0; 1];
    assert_eq!(driver.receive(&mut payload), Ok(Some(Received::Message { endpoint: near, src: 30, len: 1 })));
    assert_eq!(kicks(&mut driver), [0], "the sender waits");
}

/// Two tasks share a side: that one got its buffer is no reason to leave the other asleep.
#[test]
fn a_sender_that_got_its_buffer_wakes_the_next() {
    let heap = HeapRegion::new(geometry().bytes());
    let (mut driver, mut device) = pair(&heap);
    let (near, _far) = (driver.create_endpoint(2).unwrap(), device.create_endpoint(1).unwrap());
    let (wakes, waker) = waker();
    let mut context = Context::from_waker(&waker);
    for i in 0..4 {
        driver.send(near, 1, &[i]).unwrap();
    }
    assert_eq!(driver.poll_send(&mut context, near, 1, &[4]), Poll::Pending);
    for _ in 0..2 {
        assert!(device.receive(&mut [0; 1]).unwrap().is_some());
    }
    // The other task looks before the device rings, and then nobody wants to be rung.
    let mut other = Context::from_waker(Waker::noop());
    assert_eq!(driver.poll_send(&mut other, near, 1, &[5]), Poll::Ready(Ok(())));
    assert_eq!(kicks(&mut device), []);
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
    assert_eq!(driver.poll_send(&mut context, near, 1, &[4]), Poll::Ready(Ok(())));
}

/// Two threads that sleep until they are kicked, over a ring that is nearly always full.
#[test]
fn blocking_senders_never_miss_the_kick_they_wait_for() {
    const COUNT: u32 = if cfg!(miri) { 40 } else { 30_000 };
    let heap = HeapRegion::new(geometry().bytes());
    let (mut driver, mut device) = pair(&heap);
    let (to_device, device_bell) = mpsc::channel();
    let (to_driver, driver_bell) = mpsc::channel();
    fn ring<R: Role>(instance: &mut Instance<R, 4>, bell: &mpsc::Sender<()>) {
        while instance.take_kick().is_some() {
            // The other thread may have finished.
            let _ = bell.send(());
        }
    }
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let far = device.create_endpoint(1).unwrap();
            let mut payload = [0; PAYLOAD_BYTES_MAX];
            let mut next = 0u32;
            while next < COUNT {
                match device.receive(&mut payload).unwrap() {
                    Some(_) => {
                        assert_eq!(payload[..4], next.to_le_bytes());
                        next += 1;
                    }
                    None => {
                        ring(&mut device, &to_driver);
                        device_bell.recv_timeout(PATIENCE).expect("a kick for a message was lost");
                    }
                }
            }
            ring(&mut device, &to_driver);
            device.destroy_endpoint(far).unwrap();
        });
        let near = driver.create_endpoint(2).unwrap();
        for i in 0..COUNT {
            let sent = driver.send_blocking(near, 1, &i.to_le_bytes(), |driver| {
                ring(driver, &to_device);
                driver_bell.recv_timeout(PATIENCE).is_ok()
            });
            sent.expect("a kick for a buffer was lost");
            ring(&mut driver, &to_device);
        }
    });
}

#[test]
fn a_blocking_sender_gives_up_when_its_caller_does() {
    let heap = HeapRegion::new(geometry().bytes());
    let (mut driver, mut device) = pair(&heap);
    let near = driver.create_endpoint(2).unwrap();
    let mut waits = 0;
    for _ in 0..4 {
        driver.send_blocking(near, 1, &[0], |_| panic!("there are buffers")).unwrap();
    }
    let given_up = driver.send_blocking(near, 1, &[0], |_| {
        waits += 1;
        waits < 3
    });
    assert_eq!((given_up, waits), (Err(RpmsgError::NoBuffer), 3));
    let far = device.create_endpoint(1).unwrap();
    let mut payload = [0; 1];
    assert_eq!(device.receive(&mut payload), Ok(Some(Received::Message { endpoint: far, src: 2, len: 1 })));
    assert_eq!(kicks(&mut device), [], "nobody waits any more");
    assert_eq!(driver.send_blocking(near, 9, &[0], |_| true), Ok(()));
    assert_eq!(driver.send_blocking(near, ADDRESS_ANY, &[0], |_| true), Err(RpmsgError::Address), "no reason to wait");
}

/// An announcement comes from the endpoint that it is about, as RPMsg-Lite sends it, and goes to the name service.
#[test]
fn an_announcement_bears_its_endpoint_as_the_sender() {
    let heap = HeapRegion::new(geometry().bytes());
    let mut driver = Driver::new(&layout(&heap)).unwrap();
    let mut device: Instance<_, 4> = Instance::new(Device::new(&layout(&heap)).unwrap());
    device.set_link_up();
    let endpoint = device.create_endpoint(30).unwrap();
    device.announce(endpoint, "channel", false).unwrap();
    let message = driver.take().unwrap().unwrap();
    assert_eq!((message.src(), message.dst(), message.payload_bytes()), (30, NAME_SERVICE_ADDRESS, 40));
    driver.release(message).unwrap();
}

/// After an impossible index nothing in the ring can be trusted, whatever is kicked.
#[test]
fn a_link_that_was_lost_stays_down_until_the_rings_are_set_up_anew() {
    let heap = HeapRegion::new(geometry().bytes());
    let (_, mut device) = pair(&heap);
    let far = device.create_endpoint(1).unwrap();
    assert!(device.is_link_up());
    let avail_index = 4 * 16 + 2;
    layout(&heap).vring1.store_u16(avail_index, 100).unwrap();
    let mut payload = [0; PAYLOAD_BYTES_MAX];
    assert_eq!(device.receive(&mut payload), Err(RpmsgError::Fault(Fault::Index)));
    device.notified();
    assert!(!device.is_link_up());
    assert_eq!(device.send(far, 2, &[1]), Err(RpmsgError::NotReady));
    let mut driver;
    (driver, device) = pair(&heap);
    let near = driver.create_endpoint(2).unwrap();
    let far = device.create_endpoint(1).unwrap();
    driver.send(near, 1, &[1]).unwrap();
    assert_eq!(device.receive(&mut payload), Ok(Some(Received::Message { endpoint: far, src: 2, len: 1 })));
}

/// Messages that nobody can take cost nothing but themselves.
#[test]
fn strange_messages_are_counted_and_their_buffers_go_back() {
    let heap = HeapRegion::new(geometry().bytes());
    let (mut driver, mut device) = pair(&heap);
    let (near, far) = (driver.create_endpoint(2).unwrap(), device.create_endpoint(1).unwrap());
    for _ in 0..20 {
        driver.send(near, 77, &[1]).unwrap();
        driver.send(near, NAME_SERVICE_ADDRESS, &[1; 39]).unwrap();
        driver.send(near, NAME_SERVICE_ADDRESS, &[0; 40]).unwrap();
        driver.send(near, 1, &[5, 6]).unwrap();
        let Ok(Some(Held::Message { endpoint, src, len, buffer })) = device.receive_held() else { panic!() };
        assert_eq!((endpoint, src, len), (far, 2, 2));
        device.release(buffer).unwrap();
        assert!(matches!(device.receive_held(), Ok(None)));
    }
    assert_eq!(device.counters().get(Fault::Endpoint), 20);
    assert_eq!(device.counters().get(Fault::NameService), 40);
    // A receiver with too little room loses the message, not the buffer.
    for _ in 0..20 {
        driver.send(near, 1, &[5, 6]).unwrap();
        assert_eq!(device.receive(&mut [0; 1]), Err(RpmsgError::Size));
    }
    // Every destroyed endpoint frees its place.
    for _ in 0..20 {
        let more: Vec<_> = (0..3).map(|_| device.create_endpoint(ADDRESS_ANY).unwrap()).collect();
        assert_eq!(device.create_endpoint(ADDRESS_ANY), Err(RpmsgError::Endpoints));
        for endpoint in more {
            device.destroy_endpoint(endpoint).unwrap();
            assert_eq!(device.send(endpoint, 2, &[1]), Err(RpmsgError::UnknownEndpoint));
        }
    }
    assert_eq!(device.create_endpoint(1), Err(RpmsgError::Address));
    assert_eq!(device.create_endpoint(NAME_SERVICE_ADDRESS), Err(RpmsgError::Address));
    for name in ["", "a name of exactly thirty-2 bytes", "nul\0"] {
        assert_eq!(device.announce(far, name, false), Err(RpmsgError::Name));
    }
    assert_eq!(device.announce(far, "a name of exactly thirty1 bytes", true), Ok(()));
    let Ok(Some(Received::Channel(channel))) = driver.receive(&mut [0; 1]) else { panic!() };
    assert_eq!((channel.name(), channel.address, channel.destroyed), ("a name of exactly thirty1 bytes", 1, true));
}
