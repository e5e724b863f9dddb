//! Our stack with itself: the suite, and what only it has, sending and receiving without blocking a task.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use coracle_rpmsg::{Geometry, Received, Rpmsg as _, RpmsgError};
use coracle_test_conformance::{DirectDevice, DirectDriver, Pair};

coracle_test_conformance::suite!(both_direct, DirectDriver, DirectDevice);

/// Counts how often a task was woken.
#[derive(Default)]
struct Woken(AtomicU32);

impl Woken {
    fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A task that sends into a full ring sleeps until the other side has given a buffer back and kicked.
#[test]
fn a_sending_task_sleeps_until_a_buffer_is_back() {
    let mut pair = Pair::<DirectDriver, DirectDevice>::up(Geometry::ST);
    let driver = pair.driver.create_endpoint(1024).unwrap();
    pair.device.create_endpoint(30).unwrap();
    for _ in 0..16 {
        pair.driver.send(driver, 30, &[1]).unwrap();
    }
    pair.pump();
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let mut context = Context::from_waker(&waker);
    assert_eq!(pair.driver.poll_send(&mut context, driver, 30, &[2]), Poll::Pending);
    pair.pump();
    assert_eq!(woken.count(), 0, "nothing came back");
    let mut payload = [0; 496];
    assert!(pair.device.receive(&mut payload).unwrap().is_some());
    pair.pump();
    assert_eq!(woken.count(), 1, "the other side kicked");
    assert_eq!(pair.driver.poll_send(&mut context, driver, 30, &[2]), Poll::Ready(Ok(())));
    assert!(pair.device.receive(&mut payload).unwrap().is_some());
    pair.pump();
    assert_eq!(woken.count(), 1, "nobody waits any more");
}

/// A task that sends before the link is up sleeps until it is.
#[test]
fn a_sending_task_sleeps_until_the_link_is_up() {
    let mut pair = Pair::<DirectDriver, DirectDevice>::new(Geometry::ST);
    let device = pair.device.create_endpoint(30).unwrap();
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let mut context = Context::from_waker(&waker);
    assert_eq!(pair.device.poll_send(&mut context, device, 1024, &[1]), Poll::Pending);
    assert_eq!(woken.count(), 0);
    pair.pump();
    assert_eq!(woken.count(), 1);
    assert_eq!(pair.device.poll_send(&mut context, device, 1024, &[1]), Poll::Ready(Ok(())));
}

/// A task that receives sleeps until a message comes; errors are for it, too.
#[test]
fn a_receiving_task_sleeps_until_a_message_comes() {
    let mut pair = Pair::<DirectDriver, DirectDevice>::up(Geometry::ST);
    let driver = pair.driver.create_endpoint(1024).unwrap();
    let device = pair.device.create_endpoint(30).unwrap();
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let mut context = Context::from_waker(&waker);
    let mut payload = [0; 496];
    assert_eq!(pair.device.poll_receive(&mut context, &mut payload), Poll::Pending);
    pair.driver.send(driver, 30, b"hello").unwrap();
    assert_eq!(woken.count(), 0);
    pair.pump();
    assert_eq!(woken.count(), 1);
    let want = Received::Message { endpoint: device, src: 1024, len: 5 };
    assert_eq!(pair.device.poll_receive(&mut context, &mut payload), Poll::Ready(Ok(want)));
    pair.driver.send(driver, 30, b"too long").unwrap();
    assert_eq!(pair.device.poll_receive(&mut context, &mut [0; 3]), Poll::Ready(Err(RpmsgError::Size)));
}

/// The same as futures.
#[test]
fn futures_complete_when_the_other_side_moves() {
    let mut pair = Pair::<DirectDriver, DirectDevice>::up(Geometry::ST);
    let driver = pair.driver.create_endpoint(1024).unwrap();
    let device = pair.device.create_endpoint(30).unwrap();
    let mut context = Context::from_waker(Waker::noop());
    let mut payload = [0; 496];
    {
        let mut receiving = pin!(pair.device.receive_async(&mut payload));
        assert!(receiving.as_mut().poll(&mut context).is_pending());
        let sent = pin!(pair.driver.send_async(driver, 30, b"hello")).poll(&mut context);
        assert_eq!(sent, Poll::Ready(Ok(())));
        let want = Received::Message { endpoint: device, src: 1024, len: 5 };
        assert_eq!(receiving.poll(&mut context), Poll::Ready(Ok(want)));
    }
    assert_eq!(&payload[..5], b"hello");
    let refused = pin!(pair.driver.send_async(driver, 30, &[])).poll(&mut context);
    assert_eq!(refused, Poll::Ready(Err(RpmsgError::Size)), "waiting would not help");
}
