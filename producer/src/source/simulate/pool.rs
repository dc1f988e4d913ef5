//! Events rendered in advance, all but what changes from one to the next.

use super::{Scene, fill, stamp, templates};
use crate::weights::Weights;
use common::level::Level;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use std::ops::Range;

/// A power of two; several times what one batch of the client holds, so that none holds a payload twice.
pub(super) const SIZE: usize = 1 << 15;

const BEFORE_TIMESTAMP: &str = "{\"timestamp\":\"";
const BEFORE_DUE: &str = ",\"due\":";
/// Where in a head the timestamp stands.
pub(super) const TIMESTAMP_AT: usize = BEFORE_TIMESTAMP.len();
/// Where in a tail the due time stands.
pub(super) const DUE_AT: usize = BEFORE_DUE.len();

/// All bodies in one block of memory, in the order of their use: the next one is always near.
#[derive(Debug)]
pub(super) struct Pool {
    bytes: Vec<u8>,
    places: Vec<Place>,
}

#[derive(Debug)]
struct Place {
    start: usize,
    tail: usize,
    end: usize,
    service: Range<usize>,
}

/// An event without its numbers: `head`, then `seq`, then `tail`.
#[derive(Debug)]
pub(super) struct Body<'a> {
    /// `{"timestamp":"…Z","level":"INFO","service":"auth","producer":"k3x9q2","seq":`
    pub(super) head: &'a [u8],
    /// `,"due":…,"message":"…"}`
    pub(super) tail: &'a [u8],
    /// Where in the head the service's name stands.
    pub(super) service: Range<usize>,
}

impl Pool {
    /// Levels occur exactly as often as the scene says, to within one in [`SIZE`]; services, templates and what
    /// fills them are drawn.
    pub(super) fn new(scene: &Scene) -> Pool {
        let mut rng = ChaCha8Rng::seed_from_u64(scene.seed);
        let mut levels: Vec<Level> = Vec::with_capacity(SIZE);
        for (&level, share) in scene.levels.share_out(SIZE as u32) {
            levels.extend(std::iter::repeat_n(level, share as usize));
        }
        levels.shuffle(&mut rng);
        let services = services(&scene.services);

        let mut pool = Pool { bytes: Vec::new(), places: Vec::with_capacity(SIZE) };
        for level in levels {
            let service = services.draw(&mut rng);
            let message = fill::fill(service.family.template(level, &mut rng), &mut rng);
            pool.push(level, &service.name, &scene.producer, &message);
        }
        pool
    }

    fn push(&mut self, level: Level, service: &str, producer: &str, message: &str) {
        let start = self.bytes.len();
        let mut add = |text: &str| {
            self.bytes.extend_from_slice(text.as_bytes());
            self.bytes.len()
        };
        add(BEFORE_TIMESTAMP);
        add(&"0".repeat(stamp::TIMESTAMP_LEN));
        add("Z\",\"level\":\"");
        add(level.as_str());
        let before_service = add("\",\"service\":\"");
        let after_service = add(service);
        add("\",\"producer\":\"");
        add(producer);
        let tail = add("\",\"seq\":");
        add(BEFORE_DUE);
        add(&"0".repeat(stamp::DUE_LEN));
        add(",\"message\":");
        add(&serde_json::to_string(message).expect("a string is always JSON"));
        let end = add("}");
        self.places.push(Place { start, tail, end, service: before_service - start..after_service - start });
    }

    /// The body for event number `index`, from 0.
    pub(super) fn body(&self, index: u64) -> Body<'_> {
        let place = &self.places[index as usize & (SIZE - 1)];
        Body {
            head: &self.bytes[place.start..place.tail],
            tail: &self.bytes[place.tail..place.end],
            service: place.service.clone(),
        }
    }
}

struct Service {
    name: String,
    family: &'static templates::Family,
}

/// A service that the templates know logs what it should; the others borrow, in turn.
fn services(names: &Weights<String>) -> Weights<Service> {
    let families = &templates::FAMILIES;
    let mut others = families.iter().cycle();
    names.map(|name| Service {
        name: name.clone(),
        family: families
            .iter()
            .find(|family| family.name == name)
            .or_else(|| others.next())
            .expect("a cycle over some families has no end"),
    })
}
