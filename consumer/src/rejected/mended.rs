//! Rejected events as lines of JSON: what `list --json` prints, a person mends, and `replay --mended` takes.

use super::reader::Rejected;
use crate::sink::dead_letter::source::Source;
use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::BufRead;

/// One event.
#[derive(Debug, Serialize, Deserialize)]
pub struct Line {
    /// Which.
    #[serde(flatten)]
    pub source: Source,
    /// Why it was refused.
    #[serde(default)]
    pub reason: String,
    /// So long is the payload or key of which only the beginning is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut_from: Option<String>,
    /// The payload; to be mended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
    /// The payload, where it is no text; `payload` goes before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload_base64: Option<String>,
}

impl Line {
    /// Of an event.
    pub fn of(rejected: &Rejected<'_>) -> Line {
        let text = rejected.payload.and_then(|payload| std::str::from_utf8(payload).ok());
        let binary = rejected.payload.filter(|_| text.is_none());
        Line {
            source: rejected.source.clone(),
            reason: rejected.reason.to_owned(),
            cut_from: rejected.cut_from.map(str::to_owned),
            payload: text.map(str::to_owned),
            payload_base64: binary.map(|payload| STANDARD.encode(payload)),
        }
    }

    fn into_payload(self) -> anyhow::Result<(Source, Vec<u8>)> {
        let payload = match (self.payload, self.payload_base64) {
            (Some(text), _) => text.into_bytes(),
            (None, Some(base64)) => STANDARD.decode(base64).context("payload_base64 is not Base64")?,
            (None, None) => Vec::new(),
        };
        Ok((self.source, payload))
    }
}

/// Reads mended payloads, by the event that they are of.
///
/// # Errors
/// With the number of a line that is none, or names an event once more.
pub fn read(file: impl BufRead) -> anyhow::Result<BTreeMap<Source, Vec<u8>>> {
    let mut mended = BTreeMap::new();
    for (number, line) in (1..).zip(file.lines()) {
        let line = line.context("cannot read on")?;
        if line.trim().is_empty() {
            continue;
        }
        let parsed: Line = serde_json::from_str(&line)
            .with_context(|| format!("line {number} is not what 'rejected list --json' prints"))?;
        let (source, payload) = parsed.into_payload().with_context(|| format!("line {number}"))?;
        if mended.contains_key(&source) {
            bail!("line {number} names {source} once more");
        }
        mended.insert(source, payload);
    }
    Ok(mended)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_payload_survives_the_way_out_and_back(payload: Vec<u8>) {
            let rejected = Rejected {
                source: Source::of_test(7), reason: "no_message", payload: Some(&payload), key: None, cut_from: None,
            };
            let line = serde_json::to_string(&Line::of(&rejected)).unwrap();
            prop_assert_eq!(line.lines().count(), 1);
            let read = read(line.as_bytes()).unwrap();
            prop_assert_eq!(read, BTreeMap::from([(Source::of_test(7), payload)]));
        }
    }

    /// Any file gives payloads or an error that names a line; what is read can be written and read again.
    #[test]
    fn fuzz_mended() {
        bolero::check!().for_each(|file: &[u8]| match read(file) {
            Ok(mended) => {
                let lines = mended.iter().map(|(source, payload)| {
                    let rejected = Rejected {
                        source: source.clone(),
                        reason: "",
                        payload: Some(payload),
                        key: None,
                        cut_from: None,
                    };
                    serde_json::to_string(&Line::of(&rejected)).unwrap() + "\n"
                });
                assert_eq!(read(lines.collect::<String>().as_bytes()).unwrap(), mended);
            }
            Err(error) => {
                let said = format!("{error:#}");
                assert!(said.starts_with("line ") || said.starts_with("cannot read on"), "{said}");
            }
        });
    }

    #[test]
    fn what_is_no_line_is_said_with_its_number() {
        let good = r#"{"topic":"logs","partition":0,"offset":1,"payload":"x"}"#;
        let said = |text: &str| format!("{:#}", read(text.as_bytes()).unwrap_err());
        assert!(said(&format!("{good}\n\n{{")).starts_with("line 3 is not what"));
        assert_eq!(said(&format!("{good}\n{good}")), "line 2 names logs/0@1 once more");
        let binary = r#"{"topic":"logs","partition":0,"offset":1,"payload_base64":"?"}"#;
        assert!(said(binary).starts_with("line 1: payload_base64 is not Base64"));
    }
}
