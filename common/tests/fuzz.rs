//! Fuzz targets of what comes from outside: any bytes, from bolero's engine. `make fuzz` runs them for longer.

use common::decode::{decode, fast, forges, library, single_line};
use common::units::{parse_count, parse_duration, parse_rate, parse_size};

/// The two ways of the decoder agree; what is an event is one line in the file, in either format.
#[test]
fn fuzz_decode() {
    bolero::check!().for_each(|payload: &[u8]| {
        if let Some(event) = fast::decode(payload) {
            assert_eq!(library::decode(payload), Ok(event));
        }
        let Ok(event) = decode(payload) else { return };
        let mut text = Vec::new();
        event.write_text(&mut text, 0);
        let text = String::from_utf8(text).expect("UTF-8 in, UTF-8 out");
        assert!(!text.contains(forges), "{text:?}");
        let line = single_line(payload);
        assert!(!line.iter().any(|byte| matches!(byte, b'\n' | b'\r')));
        assert_eq!(decode(&line).as_ref(), Ok(&event));
    });
}

/// Any text is a value or an error.
#[test]
fn fuzz_units() {
    bolero::check!().for_each(|bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        let _ = (parse_count(&text), parse_rate(&text), parse_size(&text), parse_duration(&text));
    });
}
