//! Hexadecimal text.

/// Bytes of hexadecimal text.
pub fn decode(text: &str) -> Result<Vec<u8>, String> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return Err(format!("not hexadecimal: {text}"));
    }
    let pair = |at: usize| u8::from_str_radix(&text[at..at + 2], 16);
    (0..text.len()).step_by(2).map(pair).collect::<Result<_, _>>().map_err(|e| format!("{text}: {e}"))
}

/// Upper-case hexadecimal text.
pub fn encode(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02X}")).collect()
}
