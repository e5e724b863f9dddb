//! Waiting for a state, with a bound, and giving up when somebody says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::Error;

/// Time between two looks at a state.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// Makes every wait that knows it end with [`Error::Cancelled`]. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Ends all waits, those to come too. For signal handlers' threads.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was called.
    ///
    /// # Errors
    /// [`Error::Cancelled`] if it was.
    pub fn check(&self) -> Result<(), Error> {
        if self.0.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// Looks until `look` finds something or fails, at most for `patience`. `what` completes "waited in vain for ".
    ///
    /// # Errors
    /// What `look` says, [`Error::Cancelled`] or [`Error::TimedOut`].
    pub fn wait<T>(
        &self,
        what: &str,
        patience: Duration,
        mut look: impl FnMut() -> Result<Option<T>, Error>,
    ) -> Result<T, Error> {
        let end = Instant::now() + patience;
        loop {
            self.check()?;
            if let Some(found) = look()? {
                return Ok(found);
            }
            if Instant::now() >= end {
                return Err(Error::TimedOut { what: what.to_owned(), waited: patience });
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_with_what_it_found_or_at_its_bound_or_when_cancelled() {
        let cancel = Cancel::default();
        let mut looks = 0;
        let third = cancel.wait("it", Duration::from_secs(60), || {
            looks += 1;
            Ok((looks == 3).then_some(looks))
        });
        assert_eq!(third.unwrap(), 3);
        let error = cancel.wait("the moon", Duration::ZERO, || Ok(None::<()>)).unwrap_err();
        assert!(error.to_string().contains("in vain for the moon"), "{error}");
        cancel.clone().cancel();
        let error = cancel.wait("it", Duration::from_secs(60), || Ok(None::<()>)).unwrap_err();
        assert!(matches!(error, Error::Cancelled));
    }
}
