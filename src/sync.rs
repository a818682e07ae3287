//! Locks and atomics that a model checker can replace.
//!
//! In a normal build, this module re-exports the locks of `parking_lot` and the atomics of the
//! standard library, at no cost. With the feature `model-check`, the same names are thin wrappers
//! around the types of `shuttle`. Its scheduler runs one thread at a time and tries different
//! orders of the operations. Code that is model-checked must use the locks and atomics of this
//! module.
//!
//! Shuttle's types panic outside of its scheduler, so only model-checked tests can run with the
//! feature. They are in modules named `model_check`, their names start with `schedules_`, and
//! `scripts/test` runs them with `cargo test --locked --features model-check --lib model_check`.
//!
//! This module does not depend on other modules of meetfs.

#[cfg(not(feature = "model-check"))]
pub use parking_lot::{
    Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard, WaitTimeoutResult,
};

/// The atomic types of the standard library, and [`Ordering`](std::sync::atomic::Ordering).
#[cfg(not(feature = "model-check"))]
pub mod atomic {
    pub use std::sync::atomic::{
        AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering,
    };
}

/// Waits for a future for at most `duration`. Returns `None` after that time.
#[cfg(not(feature = "model-check"))]
pub async fn timeout<F: Future>(duration: std::time::Duration, future: F) -> Option<F::Output> {
    tokio::time::timeout(duration, future).await.ok()
}

/// Waits for a future without a time limit, because the model has no clock.
#[cfg(feature = "model-check")]
pub async fn timeout<F: Future>(_duration: std::time::Duration, future: F) -> Option<F::Output> {
    Some(future.await)
}

#[cfg(feature = "model-check")]
pub use model::{
    Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard, WaitTimeoutResult,
};

/// The atomic types of shuttle, and [`Ordering`](std::sync::atomic::Ordering).
#[cfg(feature = "model-check")]
pub mod atomic {
    pub use shuttle::sync::atomic::{
        AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering,
    };
}

#[cfg(feature = "model-check")]
mod model {
    use std::ops::{Deref, DerefMut};
    use std::sync::{PoisonError, TryLockError, TryLockResult};
    use std::time::Duration;

    use shuttle::rand::Rng;
    pub use shuttle::sync::{RwLockReadGuard, RwLockWriteGuard};

    // A panic during a lock fails the test anyway, so poisoning can be ignored.
    fn into_guard<G>(result: TryLockResult<G>) -> Option<G> {
        match result {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(error)) => Some(error.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// A mutex of shuttle with the interface of `parking_lot::Mutex`.
    #[derive(Debug, Default)]
    pub struct Mutex<T: ?Sized>(shuttle::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub const fn new(value: T) -> Self {
            Self(shuttle::sync::Mutex::new(value))
        }

        pub fn into_inner(self) -> T {
            self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
        }
    }

    impl<T: ?Sized> Mutex<T> {
        pub fn lock(&self) -> MutexGuard<'_, T> {
            let guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            MutexGuard { mutex: self, guard: Some(guard) }
        }

        pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            let guard = into_guard(self.0.try_lock())?;
            Some(MutexGuard { mutex: self, guard: Some(guard) })
        }

        pub fn get_mut(&mut self) -> &mut T {
            self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
        }
    }

    /// A mutex guard of shuttle with the interface of `parking_lot::MutexGuard`.
    #[derive(Debug)]
    pub struct MutexGuard<'a, T: ?Sized> {
        mutex: &'a Mutex<T>,
        /// The guard is `None` only while [`Condvar`] waits with it.
        guard: Option<shuttle::sync::MutexGuard<'a, T>>,
    }

    impl<T: ?Sized> Deref for MutexGuard<'_, T> {
        type Target = T;

        #[expect(clippy::expect_used, reason = "see the field `guard`")]
        fn deref(&self) -> &T {
            self.guard.as_ref().expect("the guard is None only during a wait of Condvar")
        }
    }

    impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
        #[expect(clippy::expect_used, reason = "see the field `guard`")]
        fn deref_mut(&mut self) -> &mut T {
            self.guard.as_mut().expect("the guard is None only during a wait of Condvar")
        }
    }

    /// A reader-writer lock of shuttle with the interface of `parking_lot::RwLock`.
    #[derive(Debug, Default)]
    pub struct RwLock<T: ?Sized>(shuttle::sync::RwLock<T>);

    impl<T> RwLock<T> {
        pub const fn new(value: T) -> Self {
            Self(shuttle::sync::RwLock::new(value))
        }

        pub fn into_inner(self) -> T {
            self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
        }
    }

    impl<T: ?Sized> RwLock<T> {
        pub fn read(&self) -> RwLockReadGuard<'_, T> {
            self.0.read().unwrap_or_else(PoisonError::into_inner)
        }

        pub fn write(&self) -> RwLockWriteGuard<'_, T> {
            self.0.write().unwrap_or_else(PoisonError::into_inner)
        }

        pub fn try_read(&self) -> Option<RwLockReadGuard<'_, T>> {
            into_guard(self.0.try_read())
        }

        pub fn try_write(&self) -> Option<RwLockWriteGuard<'_, T>> {
            into_guard(self.0.try_write())
        }

        pub fn get_mut(&mut self) -> &mut T {
            self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
        }
    }

    /// A condition variable of shuttle with the interface of `parking_lot::Condvar`.
    #[derive(Debug, Default)]
    pub struct Condvar(shuttle::sync::Condvar);

    /// The result of a wait with a timeout.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct WaitTimeoutResult(bool);

    impl WaitTimeoutResult {
        /// Whether the wait ended because of its timeout.
        pub fn timed_out(self) -> bool {
            self.0
        }
    }

    impl Condvar {
        pub const fn new() -> Self {
            Self(shuttle::sync::Condvar::new())
        }

        pub fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
            if let Some(shuttle_guard) = guard.guard.take() {
                let shuttle_guard =
                    self.0.wait(shuttle_guard).unwrap_or_else(PoisonError::into_inner);
                guard.guard = Some(shuttle_guard);
            }
        }

        /// Waits for a notification or the timeout. The model has no clock, so the scheduler
        /// decides: the wait either ends at once with a timeout, or lasts until the notification. A
        /// lost notification therefore causes a deadlock in some schedules.
        pub fn wait_for<T>(
            &self,
            guard: &mut MutexGuard<'_, T>,
            _timeout: Duration,
        ) -> WaitTimeoutResult {
            if shuttle::rand::thread_rng().gen_bool(0.5) {
                drop(guard.guard.take());
                shuttle::thread::yield_now();
                let shuttle_guard = guard.mutex.0.lock().unwrap_or_else(PoisonError::into_inner);
                guard.guard = Some(shuttle_guard);
                return WaitTimeoutResult(true);
            }
            self.wait(guard);
            WaitTimeoutResult(false)
        }

        pub fn notify_one(&self) {
            self.0.notify_one();
        }

        pub fn notify_all(&self) {
            self.0.notify_all();
        }
    }
}

#[cfg(all(test, feature = "model-check"))]
mod model_check {
    use std::sync::Arc;
    use std::time::Duration;

    use super::atomic::{AtomicUsize, Ordering};
    use super::{Condvar, Mutex, RwLock};

    #[test]
    fn schedules_of_locks_exclude_each_other() {
        shuttle::check_random(
            || {
                let counters = Arc::new((Mutex::new(0), RwLock::new(0), AtomicUsize::new(0)));
                let threads: Vec<_> = (0..2)
                    .map(|_| {
                        let counters = counters.clone();
                        shuttle::thread::spawn(move || {
                            *counters.0.lock() += 1;
                            *counters.1.write() += 1;
                            counters.2.fetch_add(1, Ordering::Relaxed);
                        })
                    })
                    .collect();
                threads.into_iter().for_each(|thread| thread.join().unwrap());
                assert_eq!((*counters.0.lock(), *counters.1.read()), (2, 2));
                assert_eq!(counters.2.load(Ordering::Relaxed), 2);
            },
            10_000,
        );
    }

    #[test]
    fn schedules_of_timed_waits_see_the_value() {
        shuttle::check_random(
            || {
                let flag = Arc::new((Mutex::new(false), Condvar::new()));
                let setter = {
                    let flag = flag.clone();
                    shuttle::thread::spawn(move || {
                        *flag.0.lock() = true;
                        flag.1.notify_all();
                    })
                };
                let mut is_set = flag.0.lock();
                while !*is_set {
                    flag.1.wait_for(&mut is_set, Duration::from_secs(1));
                }
                drop(is_set);
                setter.join().unwrap();
            },
            10_000,
        );
    }
}
