//! Handles of librdkafka's.

#![allow(unsafe_code)]

use std::ptr::NonNull;

/// Destroyed when it goes out of scope.
pub(crate) struct Guard<T> {
    handle: NonNull<T>,
    destroy: unsafe extern "C" fn(*mut T),
}

impl<T> Guard<T> {
    /// Takes a handle over.
    ///
    /// # Safety
    /// It is ours alone, alive, and destroyed by `destroy`, once.
    pub(crate) unsafe fn new(handle: *mut T, destroy: unsafe extern "C" fn(*mut T)) -> Guard<T> {
        Guard { handle: NonNull::new(handle).expect("librdkafka allocates or aborts"), destroy }
    }

    pub(crate) fn get(&self) -> *mut T {
        self.handle.as_ptr()
    }
}

impl<T> Drop for Guard<T> {
    fn drop(&mut self) {
        // SAFETY: as whoever made this has promised; it is destroyed here only.
        unsafe { (self.destroy)(self.handle.as_ptr()) }
    }
}
