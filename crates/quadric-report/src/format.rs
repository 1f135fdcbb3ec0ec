//! Numbers and names as people read them.

/// Three significant digits: plain between 10⁻⁴ and 10⁶, otherwise with an exponent. Not a number: `-`.
pub(crate) fn number(x: f64) -> String {
    if x.is_nan() {
        return "-".to_owned();
    }
    if x == 0.0 {
        return "0".to_owned();
    }
    if x.is_infinite() {
        return if x > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    // Rounding first decides the magnitude: 0.9996 is 1.00.
    let scientific = format!("{x:.2e}");
    let (mantissa, exponent) = scientific
        .split_once('e')
        .expect("`{:e}` always writes an exponent");
    let exponent: i32 = exponent
        .parse()
        .expect("`{:e}` writes the exponent as an integer");
    if (-4..6).contains(&exponent) {
        let decimals = usize::try_from(2 - exponent).unwrap_or(0);
        let rounded: f64 = scientific.parse().unwrap_or(x);
        format!("{rounded:.decimals$}")
    } else {
        format!("{mantissa}e{exponent}")
    }
}

/// A threshold such as `1e-8`, without needless digits.
pub(crate) fn threshold(x: f64) -> String {
    format!("{x:e}")
}

/// A power of ten with its exponent raised (`10⁻⁸`), in characters, so that it needs no markup; else a plain number.
pub(crate) fn power(x: f64) -> String {
    let text = format!("{x:e}");
    match text.strip_prefix("1e") {
        Some(exponent) => format!("10{}", raised(exponent)),
        None => number_raised(x),
    }
}

/// [`number`] with its exponent raised: `3.21·10⁻¹³`.
pub(crate) fn number_raised(x: f64) -> String {
    let text = number(x);
    match text.split_once('e') {
        Some((mantissa, exponent)) => format!("{mantissa}·10{}", raised(exponent)),
        None => text,
    }
}

/// A number and its error, both with the decimals that two digits of the error need: `41.500 ± 0.017`. With `spell` where
/// that would be long.
pub(crate) fn measured(x: f64, error: f64, spell: fn(f64) -> String) -> String {
    let decimals = 1.0 - error.abs().log10().floor();
    let plain = x == 0.0 || (1e-3..1e6).contains(&x.abs());
    if plain && (0.0..=6.0).contains(&decimals) {
        let decimals = decimals as usize;
        return format!("{x:.decimals$} ± {error:.decimals$}");
    }
    if plain && decimals > 6.0 && error > 0.0 {
        return format!("{x:.6} ± {}", spell(error));
    }
    format!("{} ± {}", spell(x), spell(error))
}

fn raised(exponent: &str) -> String {
    let up = |c| match c {
        '-' => '⁻',
        '0' => '⁰',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        '4' => '⁴',
        '5' => '⁵',
        '6' => '⁶',
        '7' => '⁷',
        '8' => '⁸',
        '9' => '⁹',
        other => other,
    };
    exponent.chars().map(up).collect()
}

/// Ten significant digits, to compare objectives with.
pub(crate) fn precise(x: f64) -> String {
    let scientific = format!("{x:.9e}");
    match scientific.split_once('e').map(|(_, e)| e.parse::<i32>()) {
        Some(Ok(exponent @ -4..=8)) => {
            let decimals = usize::try_from(9 - exponent).unwrap_or(0);
            format!("{x:.decimals$}")
        }
        _ => scientific,
    }
}

/// Text that is safe between tags and in quoted attributes.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// A duration with its unit: `480 us`, `21.3 ms`, `2.13 s`.
pub(crate) fn seconds(s: f64) -> String {
    if s > 0.0 && s < 0.999_5e-3 {
        format!("{} us", number(s * 1e6))
    } else if s > 0.0 && s < 0.999_5 {
        format!("{} ms", number(s * 1e3))
    } else {
        format!("{} s", number(s))
    }
}

/// A ratio above 1 in words: `3.2`, `35`, `1200`.
pub(crate) fn ratio(r: f64) -> String {
    if r < 10.0 {
        format!("{r:.1}")
    } else {
        format!("{r:.0}")
    }
}

/// `items` joined by commas and a final "and".
pub(crate) fn list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [head @ .., last] => format!("{} and {last}", head.join(", ")),
    }
}

/// The name without anything that could steer a terminal or turn the direction of text, at most `limit` characters long.
pub(crate) fn clean(name: &str, limit: usize) -> String {
    let mut out = String::new();
    for (i, c) in name.chars().filter(|&c| !is_control(c)).enumerate() {
        if i + 1 >= limit
            && name
                .chars()
                .filter(|&c| !is_control(c))
                .nth(i + 1)
                .is_some()
        {
            out.push('…');
            break;
        }
        out.push(c);
    }
    if out.trim().is_empty() {
        "(unnamed)".to_owned()
    } else {
        out
    }
}

/// Control characters, and the invisible ones that reorder or join text.
fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{00ad}'
                | '\u{061c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_three_digits() {
        for (x, text) in [
            (0.0, "0"),
            (0.213_4, "0.213"),
            (0.999_6, "1.00"),
            (12.345, "12.3"),
            (123_456.0, "123000"),
            (1.234_5e7, "1.23e7"),
            (3.21e-13, "3.21e-13"),
            (-4.5, "-4.50"),
            (f64::NAN, "-"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(number(x), text);
        }
        assert_eq!(precise(0.312_704_559_123_4), "0.3127045591");
        assert_eq!(precise(-1_234.567_890_123), "-1234.567890");
        assert_eq!(precise(1.5e-9), "1.500000000e-9");
        assert_eq!(precise(f64::NAN), "NaN");
        for (x, error, text) in [
            (41.23, 0.0166, "41.230 ± 0.017"),
            (-0.9, 3.6e-4, "-0.90000 ± 0.00036"),
            (1234.0, 56.7, "1234 ± 57"),
            (0.002, 0.3, "0.00 ± 0.30"),
            (5.0, 0.0, "5.00 ± 0"),
            (2e-9, 1e-11, "2.00e-9 ± 1.00e-11"),
            (123_456.0, 4321.0, "123000 ± 4320"),
        ] {
            assert_eq!(measured(x, error, number), text);
        }
        assert_eq!(power(1e-12), "10⁻¹²");
        assert_eq!(power(2e-9), "2.00·10⁻⁹");
        assert_eq!(threshold(1e-12), "1e-12");
        assert_eq!(seconds(0.000_48), "480 us");
        assert_eq!(seconds(0.021_34), "21.3 ms");
        assert_eq!(seconds(0.999_9), "1.00 s");
        assert_eq!(seconds(0.0), "0 s");
    }

    #[test]
    fn names_lose_what_steers_a_terminal() {
        assert_eq!(clean("a\u{1b}[31mb\r\n\u{202e}c\u{200f}", 40), "a[31mbc");
        assert_eq!(clean("\u{7}\n", 40), "(unnamed)");
        assert_eq!(clean("abcdef", 6), "abcdef");
        assert_eq!(clean("abcdefg", 6), "abcde…");
        assert_eq!(clean(&"x".repeat(1 << 20), 40).chars().count(), 40);
    }
}
