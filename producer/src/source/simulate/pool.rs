//! Events rendered in advance, all but what changes from one to the next.

use super::{Scene, fill, stamp, templates};
use crate::weights::Weights;
use common::level::Level;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use std::ops::Range;

/// Most events; several times what one batch of the client holds, so that none holds a payload twice.
pub(super) const SIZE: usize = 1 << 15;
/// Of long events there are fewer, so that they take no more memory than about this, and at least [`FEWEST`].
const MEMORY: usize = 16 << 20;
const FEWEST: usize = 64;

const BEFORE_TIMESTAMP: &str = "{\"timestamp\":\"";
const BEFORE_DUE: &str = ",\"due\":";
/// Where in a head the timestamp stands.
pub(super) const TIMESTAMP_AT: usize = BEFORE_TIMESTAMP.len();
/// Where in a tail the due time stands.
pub(super) const DUE_AT: usize = BEFORE_DUE.len();

/// Bytes of the shortest event beside its service, producer and message.
const AROUND_MESSAGE: usize =
    r#"{"timestamp":"2026-11-22T07:12:19.267847Z","level":"INFO","service":"","producer":"","seq":1,"due":1795331539267847,"message":""}"#
        .len();

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
    /// Levels occur exactly as often as the scene says, to within one event of the pool; services, templates and
    /// what fills them are drawn.
    pub(super) fn new(scene: &Scene) -> Pool {
        let most = (MEMORY / scene.event_bytes.max(1)).clamp(FEWEST, SIZE);
        // A power of two: the walk over it is a mask.
        let size = 1 << most.ilog2();
        let mut rng = ChaCha8Rng::seed_from_u64(scene.seed);
        let mut levels: Vec<Level> = Vec::with_capacity(size);
        for (&level, share) in scene.levels.share_out(size as u32) {
            levels.extend(std::iter::repeat_n(level, share as usize));
        }
        levels.shuffle(&mut rng);
        let services = services(&scene.services);

        let mut pool = Pool { bytes: Vec::new(), places: Vec::with_capacity(size) };
        for level in levels {
            let service = services.draw(&mut rng);
            let mut text = || fill::fill(service.family.template(level, &mut rng), &mut rng);
            let mut message = json(&text());
            while AROUND_MESSAGE + service.name.len() + scene.producer.len() + message.len()
                < scene.event_bytes
            {
                message.push_str("; ");
                message.push_str(&json(&text()));
            }
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
        add(",\"message\":\"");
        add(message);
        let end = add("\"}");
        self.places.push(Place { start, tail, end, service: before_service - start..after_service - start });
    }

    /// The body for event number `index`, from 0.
    pub(super) fn body(&self, index: u64) -> Body<'_> {
        let place = &self.places[index as usize & (self.places.len() - 1)];
        Body {
            head: &self.bytes[place.start..place.tail],
            tail: &self.bytes[place.tail..place.end],
            service: place.service.clone(),
        }
    }
}

/// Text as it stands in a string of JSON, without the quotes around it.
fn json(text: &str) -> String {
    let quoted = serde_json::to_string(text).expect("a string is always JSON");
    quoted[1..quoted.len() - 1].to_owned()
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
