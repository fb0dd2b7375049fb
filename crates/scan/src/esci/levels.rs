//! Which commands a scanner of a level has (docs/esc-i.md, "Levels and dialects"). Values only.

/// What comes to I, F, G, R and A, which all have; @ is missing where it is not named.
const TABLE: [([u8; 2], &str); 15] = [
    (*b"A1", ""),
    (*b"A2", "DHLZB@"),
    (*b"B1", "CDB"),
    (*b"B2", "CDHLZB@"),
    (*b"B3", "CDHLZB@Mmfe"),
    (*b"B4", "CDHLZB@MmfegdzQb"),
    (*b"B5", "CDHLZB@MmfegdzQbK"),
    (*b"B6", "CDHLZB@MmfegdzQbK"),
    (*b"B7", "CDHLZB@MmfegdzQbK!sNt"),
    (*b"B8", "CDHLZB@MmfegdzQbK!sNtpq"),
    (*b"F5", "CDHLZ@MmfegdzQKN"),
    (*b"D1", "iCDZ@gdzf!t"),
    (*b"D2", "iCDZ@gdzf!teN"),
    (*b"D7", "iCDZ@gdzf!teN"),
    (*b"D8", "iCDZ@gdzf!teN"),
];

/// Whether a scanner of this level has ESC and this letter. A level that is not known has what the highest known one below
/// it in its family has.
pub(super) fn has(level: [u8; 2], letter: u8) -> bool {
    let nearest = TABLE.iter().rfind(|(known, _)| known[0] == level[0] && known[1] <= level[1]);
    b"IFGRA".contains(&letter) || nearest.is_some_and(|(_, letters)| letters.as_bytes().contains(&letter))
}

/// The D levels leave to the host what others do with colours.
pub(super) fn lacks_color_processing(level: [u8; 2]) -> bool {
    level[0] == b'D'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_between_two_known_ones_is_the_lower() {
        assert!(has(*b"B9", b'q') && has(*b"D5", b'e') && !has(*b"D5", b'L'));
        assert!(!has(*b"X1", b'C') && has(*b"X1", b'G'));
        assert!(!has(*b"B3", b'd') && has(*b"B4", b'd') && !has(*b"B1", b'@'));
    }
}
