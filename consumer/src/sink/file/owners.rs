//! Which worker may write a partition into the file that the workers of a process share.
//!
//! To other processes the file's lock says that; and as a lock would, this holds whatever the group believes: it may
//! have given a partition to another worker while the last one, stopped for too long, still has events under way.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

/// Shared by the workers; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Owners(Arc<Mutex<BTreeMap<i32, usize>>>);

impl Owners {
    /// Makes a partition the worker's.
    ///
    /// # Errors
    /// Who has it.
    pub fn claim(&self, partition: i32, worker: usize) -> Result<(), String> {
        let mut owners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match *owners.entry(partition).or_insert(worker) {
            owner if owner == worker => Ok(()),
            owner => Err(format!("worker {owner} of this process")),
        }
    }

    /// Ends that; what is another worker's stays so.
    pub fn release(&self, partition: i32, worker: usize) {
        let mut owners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(owner) = owners.entry(partition)
            && *owner.get() == worker
        {
            owner.remove();
        }
    }
}
