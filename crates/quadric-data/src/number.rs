//! Decimal numbers from bytes: exact rounding, a short path for the numbers that data files are made of.

/// Why bytes are not a usable number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadNumber {
    /// Not a decimal number.
    Syntax,
    /// NaN, an infinity, or a number beyond the largest double.
    NonFinite,
}

/// Powers of ten that a double holds exactly.
const EXACT_POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// The number at the start of `s` and how many bytes it takes: `[+-] digits [. digits] [e [+-] digits]`.
///
/// Up to 19 digits with a mantissa below 2⁵³ and a power of ten of at most 22 need one correctly rounded operation on
/// two exact doubles (Clinger, "How to read floating point numbers accurately", PLDI 1990); the rest goes to the
/// standard library, which rounds correctly too.
#[inline]
pub(crate) fn scan(s: &[u8]) -> Result<(f64, usize), BadNumber> {
    let negative = matches!(s.first(), Some(b'-'));
    let start = usize::from(negative || matches!(s.first(), Some(b'+')));
    let mut mantissa = 0u64;
    let mut at = digits(s, start, &mut mantissa);
    let mut count = at - start;
    let mut fraction = 0;
    if s.get(at) == Some(&b'.') {
        let end = digits(s, at + 1, &mut mantissa);
        fraction = end - at - 1;
        count += fraction;
        at = end;
    }
    if count == 0 {
        return Err(word(s));
    }
    let mut power = 0i64;
    if matches!(s.get(at), Some(b'e' | b'E')) {
        (power, at) = exponent(s, at + 1)?;
    }
    let power = power - fraction as i64;
    if count <= 19 && mantissa <= 1 << 53 && power.unsigned_abs() <= 22 {
        let scale = EXACT_POWERS[power.unsigned_abs() as usize];
        let value = if power < 0 {
            mantissa as f64 / scale
        } else {
            mantissa as f64 * scale
        };
        return Ok((if negative { -value } else { value }, at));
    }
    let text = std::str::from_utf8(&s[..at]).map_err(|_| BadNumber::Syntax)?;
    match text.parse::<f64>() {
        Ok(v) if v.is_finite() => Ok((v, at)),
        Ok(_) => Err(BadNumber::NonFinite),
        Err(_) => Err(BadNumber::Syntax),
    }
}

/// Appends the digits from `at` on to the mantissa (wrapping) and returns where they end.
#[inline(always)]
fn digits(s: &[u8], mut at: usize, mantissa: &mut u64) -> usize {
    while let Some(&b) = s.get(at) {
        let digit = b.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        *mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit));
        at += 1;
    }
    at
}

/// The exponent that starts at `at`, clamped far beyond the range of a double, and where it ends.
#[inline]
fn exponent(s: &[u8], mut at: usize) -> Result<(i64, usize), BadNumber> {
    let negative = s.get(at) == Some(&b'-');
    at += usize::from(negative || s.get(at) == Some(&b'+'));
    let start = at;
    let mut power = 0i64;
    while let Some(digit) = s.get(at).map(|b| b.wrapping_sub(b'0')).filter(|d| *d <= 9) {
        power = (power * 10 + i64::from(digit)).min(1_000_000);
        at += 1;
    }
    if at == start {
        return Err(BadNumber::Syntax);
    }
    Ok((if negative { -power } else { power }, at))
}

/// Tells `nan` and `inf` from text.
#[cold]
fn word(s: &[u8]) -> BadNumber {
    let s = s.strip_prefix(b"-").or(s.strip_prefix(b"+")).unwrap_or(s);
    let end = s.iter().position(|b| !b.is_ascii_alphabetic());
    let word = s[..end.unwrap_or(s.len())].to_ascii_lowercase();
    match word.as_slice() {
        b"nan" | b"inf" | b"infinity" => BadNumber::NonFinite,
        _ => BadNumber::Syntax,
    }
}

/// All of `s` as one finite number.
#[inline]
pub(crate) fn parse(s: &[u8]) -> Result<f64, BadNumber> {
    match scan(s)? {
        (v, used) if used == s.len() => Ok(v),
        _ => Err(BadNumber::Syntax),
    }
}

/// Appends the shortest text that reads back as the same double.
pub(crate) fn push(out: &mut Vec<u8>, v: f64) {
    let text = format!("{v:?}");
    let text = text.strip_suffix(".0").unwrap_or(&text);
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn table_of_numbers() {
        for text in [
            "0",
            "-0",
            "1",
            "+2.5",
            ".5",
            "5.",
            "1e2",
            "1E2",
            "-1e-3",
            "9007199254740993",
            "0.1",
            "123456789012345678901234567890",
            "1e-400",
            "4.9e-324",
            "1.7976931348623157e308",
            "0.000000000000000000000000000001",
            "1e22",
            "1e23",
            "3.14159265358979323846",
        ] {
            let expected: f64 = text.parse().unwrap();
            assert_eq!(
                parse(text.as_bytes()).unwrap().to_bits(),
                expected.to_bits(),
                "{text}"
            );
        }
        for text in [
            "", "+", "-", ".", "e5", "1e", "1e+", "1 ", " 1", "1,5", "0x1F", "1_000", "--1",
            "1.2.3", "NA", "\u{661}",
        ] {
            assert_eq!(parse(text.as_bytes()), Err(BadNumber::Syntax), "{text}");
        }
        for text in ["nan", "NaN", "-inf", "Infinity", "1e999", "-1e309"] {
            assert_eq!(parse(text.as_bytes()), Err(BadNumber::NonFinite), "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 2000,
            rng_seed: proptest::test_runner::RngSeed::Fixed(2026),
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn every_double_survives_printing(bits in any::<u64>()) {
            let v = f64::from_bits(bits);
            prop_assume!(v.is_finite());
            let mut text = Vec::new();
            push(&mut text, v);
            prop_assert_eq!(parse(&text).unwrap().to_bits(), bits);
        }

        #[test]
        fn agrees_with_the_standard_library(text in "[+-]?[0-9]{0,22}(\\.[0-9]{0,22})?([eE][+-]?[0-9]{0,3})?") {
            let expected = text.parse::<f64>().ok().filter(|v| v.is_finite());
            prop_assert_eq!(parse(text.as_bytes()).ok().map(f64::to_bits), expected.map(f64::to_bits));
        }
    }
}
