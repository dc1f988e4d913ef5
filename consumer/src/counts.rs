//! Counting events by level and service, without touching a string per event.
//!
//! A service's name becomes a small number once ([`Services`]), and counters are arrays indexed by it
//! ([`Counts`]). However hostile the names, at most [`MAX_SERVICES`] are told apart; the rest is counted
//! together under [`OTHER`].

use common::level::Level;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// How many services are told apart.
pub const MAX_SERVICES: usize = 1_000;

/// The name under which all further services are counted.
pub const OTHER: &str = "(other)";

/// Longest name that is kept as a service; a longer one is counted under [`OTHER`].
const MAX_NAME: usize = 128;

/// A service's number, the same in every thread of the process.
pub type ServiceId = u16;

const OTHER_ID: ServiceId = 0;

/// All names, shared by the threads; a thread looks names up through a [`Services`] of its own.
#[derive(Debug, Clone)]
pub struct ServiceNames(Arc<Mutex<Names>>);

#[derive(Debug)]
struct Names {
    by_id: Vec<Arc<str>>,
    ids: HashMap<Arc<str>, ServiceId>,
}

impl Default for ServiceNames {
    fn default() -> ServiceNames {
        ServiceNames(Arc::new(Mutex::new(Names { by_id: vec![Arc::from(OTHER)], ids: HashMap::new() })))
    }
}

impl ServiceNames {
    /// The number of `name`, a new one if it is the first time.
    pub fn id(&self, name: &str) -> ServiceId {
        if name.len() > MAX_NAME {
            return OTHER_ID;
        }
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(&id) = names.ids.get(name) {
            return id;
        }
        if name == OTHER || names.by_id.len() > MAX_SERVICES {
            return OTHER_ID;
        }
        let id = ServiceId::try_from(names.by_id.len()).expect("MAX_SERVICES fits a ServiceId");
        let name: Arc<str> = Arc::from(name);
        names.by_id.push(Arc::clone(&name));
        names.ids.insert(name, id);
        id
    }

    /// Calls `each` with the name and count of every service that `counts` has seen.
    pub fn for_each(&self, counts: &Counts, mut each: impl FnMut(&str, u64)) {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, &count) in counts.services.iter().enumerate().filter(|(_, count)| **count > 0) {
            each(&names.by_id[id], count);
        }
    }
}

/// One thread's way to the numbers: a small cache before the shared names.
#[derive(Debug)]
pub struct Services {
    names: ServiceNames,
    cache: Vec<Option<(Box<str>, ServiceId)>>,
}

impl Services {
    const SLOTS: usize = 256;

    /// A cache before `names`.
    pub fn new(names: ServiceNames) -> Services {
        Services { names, cache: vec![None; Self::SLOTS] }
    }

    /// The number of `name`.
    pub fn id(&mut self, name: &str) -> ServiceId {
        let bytes = name.as_bytes();
        let (first, last) = (bytes.first().copied().unwrap_or(0), bytes.last().copied().unwrap_or(0));
        let slot = (usize::from(first) * 31 + usize::from(last) * 7 + bytes.len()) % Self::SLOTS;
        match &self.cache[slot] {
            Some((cached, id)) if **cached == *name => *id,
            _ => {
                let id = self.names.id(name);
                self.cache[slot] = Some((Box::from(name), id));
                id
            }
        }
    }
}

/// Events counted by level and by service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// By `Level as usize`.
    pub levels: [u64; 6],
    /// By `ServiceId`; as long as the largest seen.
    services: Vec<u64>,
}

impl Counts {
    /// Counts one event.
    pub fn add(&mut self, level: Level, service: Option<ServiceId>) {
        self.levels[level as usize] += 1;
        if let Some(id) = service {
            self.add_service(id, 1);
        }
    }

    /// Counts `count` events of a service.
    pub fn add_service(&mut self, id: ServiceId, count: u64) {
        let id = usize::from(id);
        if id >= self.services.len() {
            self.services.resize(id + 1, 0);
        }
        self.services[id] += count;
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Counts) {
        for (sum, count) in self.levels.iter_mut().zip(other.levels) {
            *sum += count;
        }
        if self.services.len() < other.services.len() {
            self.services.resize(other.services.len(), 0);
        }
        for (sum, count) in self.services.iter_mut().zip(&other.services) {
            *sum += count;
        }
    }

    /// Back to zero, keeping the memory.
    pub fn clear(&mut self) {
        self.levels = [0; 6];
        self.services.fill(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_get_one_number_in_all_threads() {
        let names = ServiceNames::default();
        let (mut one, mut two) = (Services::new(names.clone()), Services::new(names.clone()));
        let auth = one.id("auth");
        assert_eq!(two.id("auth"), auth);
        assert_ne!(two.id("cart"), auth);
        assert_eq!(one.id("cart"), two.id("cart"));
    }

    #[test]
    fn hostile_names_are_bounded() {
        let names = ServiceNames::default();
        let mut services = Services::new(names.clone());
        let mut counts = Counts::default();
        for n in 0..5_001 {
            counts.add(Level::Info, Some(services.id(&format!("service-{n}"))));
        }
        counts.add(Level::Info, Some(services.id(&"x".repeat(10_000))));
        let mut seen = HashMap::new();
        names.for_each(&counts, |name, count| {
            seen.insert(name.to_owned(), count);
        });
        assert_eq!(seen.len(), MAX_SERVICES + 1);
        assert_eq!(seen[OTHER], 4_002);
        assert_eq!(seen.values().sum::<u64>(), 5_002);
    }

    #[test]
    fn merge_adds_everything() {
        let mut sum = Counts::default();
        let mut one = Counts::default();
        one.add(Level::Error, Some(3));
        sum.merge(&one);
        sum.merge(&one);
        assert_eq!(sum.levels[Level::Error as usize], 2);
        assert_eq!(sum.services[3], 2);
        sum.clear();
        assert_eq!(sum.levels, [0; 6]);
    }
}
