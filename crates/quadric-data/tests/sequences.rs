//! `.ts` files: against the reader of aeon, what is accepted, and what is refused with line and column.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::mutate;
use quadric_data::{
    Format, Limits, Missing, ReadOptions, Sequences, Target, describe, read_bytes, read_sequences,
};
use quadric_linalg::{ErrorKind, Result};
use serde_json::Value;

fn load(text: &str, options: &ReadOptions) -> Result<Sequences> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.ts");
    std::fs::write(&path, text).unwrap();
    read_sequences(&path, options)
}

fn with(missing: Missing, pad: bool) -> ReadOptions {
    ReadOptions {
        missing,
        pad,
        ..ReadOptions::default()
    }
}

/// The same values, lengths and targets as `testdata/data-tests/sequences.py` wrote down. Null is a value that is missing, or
/// after the end of a shorter sequence.
#[test]
fn equal_to_the_reader_of_aeon() {
    let text = include_str!("../../../testdata/data-tests/sequences.json");
    let cases: Vec<Value> = serde_json::from_str(text).unwrap();
    assert_eq!(cases.len(), 5);
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        let text = case["text"].as_str().unwrap();
        let found = load(text, &with(Missing::Report, false)).unwrap();
        let expected: Vec<Option<f64>> = case["values"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|s| s.as_array().unwrap())
            .flat_map(|step| step.as_array().unwrap())
            .map(|v| v.as_str().map(|v| v.parse().unwrap()))
            .collect();
        let values: Vec<Option<f64>> = found
            .values
            .iter()
            .map(|v| Some(*v).filter(|v| !v.is_nan()))
            .collect();
        assert_eq!(values, expected, "{name}");
        let lengths: Vec<usize> = case["lengths"]
            .as_array()
            .unwrap()
            .iter()
            .map(|l| l.as_u64().unwrap() as usize)
            .collect();
        assert_eq!(found.lengths, lengths, "{name}");
        for (found_target, expected) in found.target.iter().zip(case["targets"].as_array().unwrap())
        {
            match &found.classes {
                Some(classes) => assert_eq!(classes[*found_target as usize], *expected, "{name}"),
                None => {
                    let expected: f64 = expected.as_str().unwrap().parse().unwrap();
                    assert_eq!(*found_target, expected, "{name}");
                }
            }
        }
        assert_eq!(found.target.len(), found.count());
    }
}

const TWO: &str =
    "@univariate false\n@dimensions 2\n@classLabel true b a\n@data\n1,2,3:4,5,6:a\n7,8:9,10:b\n";

#[test]
fn different_lengths_are_refused_or_padded() {
    let error = load(TWO, &ReadOptions::default()).unwrap_err();
    assert_eq!(
        (error.kind(), error.place().unwrap().line),
        (ErrorKind::Data, 6)
    );
    assert!(
        error.message().contains("2 steps, that of line 5 has 3"),
        "{error:?}"
    );
    assert!(error.hint().unwrap().contains("--pad"));
    let padded = load(TWO, &with(Missing::Error, true)).unwrap();
    assert_eq!(
        (padded.steps, padded.dimensions, &padded.lengths[..]),
        (3, 2, &[3, 2][..])
    );
    let rows = [1.0, 4.0, 2.0, 5.0, 3.0, 6.0, 7.0, 9.0, 8.0, 10.0, 0.0, 0.0];
    assert_eq!(padded.values, rows);
    assert_eq!(
        (padded.target, padded.classes),
        (vec![0.0, 1.0], Some(vec!["a".into(), "b".into()]))
    );
    let shown = load(TWO, &with(Missing::Report, false)).unwrap();
    assert!(shown.values[10].is_nan() && shown.values[11].is_nan());
    assert_eq!(shown.problems[0].message, "sequences have 2 to 3 steps");
    // Padding cannot be used to fill the memory.
    let bomb = format!(
        "@classLabel false\n@data\n{}1\n{}",
        "1,".repeat(20_000),
        "1\n".repeat(20_000)
    );
    let error = load(&bomb, &with(Missing::Error, true)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Resource, "{error:?}");
}

#[test]
fn missing_values_by_policy() {
    let text = "@classLabel true 0 1\n@data\n1,?:4,6:0\n3,5:NaN,8:1\n1,2:5,7:1\n";
    let error = load(text, &with(Missing::Error, false)).unwrap_err();
    let place = error.place().unwrap();
    assert_eq!((place.line, place.column), (3, 3), "{error:?}");
    let dropped = load(text, &with(Missing::Drop, false)).unwrap();
    assert_eq!(
        (dropped.values, dropped.target),
        (vec![1.0, 5.0, 2.0, 7.0], vec![1.0])
    );
    let mean = load(text, &with(Missing::Mean, false)).unwrap();
    let (first, second) = (12.0 / 5.0, 30.0 / 5.0);
    let expected = [
        1.0, 4.0, first, 6.0, 3.0, second, 5.0, 8.0, 1.0, 5.0, 2.0, 7.0,
    ];
    assert!(
        mean.values
            .iter()
            .zip(expected)
            .all(|(v, e)| (v - e).abs() < 1e-15)
    );
    let shown = load(text, &with(Missing::Report, false)).unwrap();
    let messages: Vec<&str> = shown.problems.iter().map(|p| &p.message[..]).collect();
    assert_eq!(
        messages,
        [
            "dimension 1: 1 missing value, line 3",
            "dimension 2: 1 missing value, line 4"
        ]
    );
    let error = load(
        "@classLabel false\n@data\n?,?\n",
        &with(Missing::Mean, false),
    )
    .unwrap_err();
    assert!(
        error.message().contains("every value of dimension 1"),
        "{error:?}"
    );
    let error = load(
        "@classLabel false\n@data\n?,?\n",
        &with(Missing::Drop, false),
    )
    .unwrap_err();
    assert!(error.message().contains("no rows"), "{error:?}");
}

#[test]
fn spellings_that_are_accepted() {
    for text in [
        "\u{feff}# note\n@PROBLEMNAME x\r\n@TimeStamps FALSE\r\n@classLabel true a\r\n@DATA\r\n1,2:a\r\n",
        "%# note\n@classLabel true a\n@data\n\n# note\n 1 , 2 : a \n\n",
        "@univariate true\n@dimension 1\n@equalLength true\n@seriesLength 2\n@classLabel true a\n@data\n1e0,+2.:a",
    ] {
        let found = load(text, &ReadOptions::default()).unwrap_or_else(|e| panic!("{text}: {e:?}"));
        assert_eq!(
            (found.values, found.target),
            (vec![1.0, 2.0], vec![0.0]),
            "{text}"
        );
    }
    let plain = load("@data\n1:2\n", &ReadOptions::default()).unwrap();
    assert_eq!(
        (plain.dimensions, plain.values, plain.target.len()),
        (2, vec![1.0, 2.0], 0)
    );
    let numbers = load("@targetLabel true\n@data\n1:2.5\n", &ReadOptions::default()).unwrap();
    assert_eq!((numbers.target, numbers.classes), (vec![2.5], None));
    let options = ReadOptions {
        target: Target::None,
        ..ReadOptions::default()
    };
    let none = load("@classLabel true a\n@data\n1:a\n", &options).unwrap();
    assert_eq!((none.target.len(), none.classes), (0, None));
}

#[test]
fn refused_with_line_and_column() {
    let table: &[(&str, u64, u64, &str)] = &[
        ("1,2\n", 1, 1, "before the line `@data`"),
        ("@colour red\n@data\n1\n", 1, 1, "not known"),
        (
            "@missing maybe\n@data\n1\n",
            1,
            10,
            "neither `true` nor `false`",
        ),
        (
            "@missing true\n@missing true\n@data\n1\n",
            2,
            1,
            "occurs twice",
        ),
        ("@timeStamps true\n@data\n(0,1)\n", 1, 13, "time stamps"),
        ("@dimensions two\n@data\n1\n", 1, 13, "no count"),
        ("@dimensions 0\n@data\n1\n", 2, 0, "@dimensions 0"),
        (
            "@dimensions 99999999\n@data\n1\n",
            2,
            0,
            "@dimensions 99999999",
        ),
        (
            "@univariate true\n@dimensions 2\n@data\n1:2\n",
            3,
            0,
            "@univariate true",
        ),
        (
            "@univariate true\n@data\n1:2\n",
            3,
            0,
            "has 2 dimensions, expected 1",
        ),
        ("@data\n1:2\n1\n", 3, 0, "has 1 dimensions, expected 2"),
        (
            "@classLabel true\n@data\n1\n",
            1,
            13,
            "true` and the labels",
        ),
        (
            "@classLabel false a\n@data\n1\n",
            1,
            13,
            "true` and the labels",
        ),
        ("@classLabel true a a\n@data\n1\n", 1, 13, "occurs twice"),
        (
            "@classLabel true a\n@targetLabel true\n@data\n1\n",
            2,
            14,
            "not both",
        ),
        ("@classLabel true a\n@data\n1,2:b\n", 3, 5, "no label `b`"),
        ("@classLabel true a\n@data\n1,2\n", 3, 0, "no `:` separates"),
        ("@targetLabel true\n@data\n1: x\n", 3, 4, "target `x`"),
        ("@targetLabel true\n@data\n1:nan\n", 3, 3, "target `nan`"),
        ("@data\n1,,2\n", 2, 3, "empty"),
        ("@data\n1,2:\n", 2, 5, "empty"),
        ("@data\n1, x\n", 2, 4, "`x` is no number"),
        ("@data\n1,inf\n", 2, 3, "infinite"),
        ("@data\n1,1e999\n", 2, 3, "beyond the range"),
        (
            "@data\n1,2:3\n",
            2,
            5,
            "dimension 2 has 1 values, the first has 2",
        ),
        (
            "@equalLength true\n@seriesLength 3\n@data\n1,2\n",
            4,
            0,
            "all should have 3",
        ),
        (
            "@equalLength true\n@data\n1,2\n1\n",
            4,
            0,
            "all should have 2",
        ),
    ];
    for (text, line, column, words) in table {
        let error = load(text, &with(Missing::Error, true)).expect_err(text);
        let place = error.place().unwrap_or_else(|| panic!("{text}: {error:?}"));
        assert_eq!(
            (place.line, place.column),
            (*line, *column),
            "{text}: {error:?}"
        );
        assert!(error.message().contains(words), "{text}: {error:?}");
        assert_eq!(error.kind(), ErrorKind::Data);
    }
    for (text, words) in [
        ("", "no line `@data`"),
        ("@data\n", "no rows"),
        ("@missing true\n", "no line `@data`"),
    ] {
        let error = load(text, &ReadOptions::default()).expect_err(text);
        assert!(error.message().contains(words), "{text}: {error:?}");
    }
    for options in [
        ReadOptions {
            weight: Some("1".into()),
            ..ReadOptions::default()
        },
        ReadOptions {
            target: Target::Column("1".into()),
            ..ReadOptions::default()
        },
    ] {
        let error = load("@data\n1\n", &options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Argument);
    }
}

/// As a data set: a row holds the first step, then the second; and what `quadric data inspect` shows.
#[test]
fn as_a_data_set() {
    let options = with(Missing::Report, false);
    let data = read_bytes("t.ts", TWO.as_bytes().to_vec(), &options).unwrap();
    assert_eq!((data.rows(), data.features()), (2, 6));
    let summary = describe(&data);
    assert_eq!(
        summary.dense_rows.unwrap()[0],
        [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]
    );
    assert_eq!(summary.problems, ["sequences have 2 to 3 steps"]);
    let options = with(Missing::Error, true);
    let data = read_bytes("mystery", TWO.as_bytes().to_vec(), &options).unwrap();
    assert_eq!(data.features(), 6);
    assert!(quadric_data::encode(&data, Format::Ts).is_err());
}

#[test]
fn mutations_do_not_break_the_reader() {
    let seeds = [
        TWO.as_bytes().to_vec(),
        b"@problemName x\n@equalLength true\n@seriesLength 2\n@targetLabel true\n@data\n1,?:3.5\n2,4:1\n".to_vec(),
    ];
    let limits = Limits::default();
    mutate("sequences", &seeds, 4000, |bytes| {
        for (missing, pad) in [
            (Missing::Error, true),
            (Missing::Mean, false),
            (Missing::Drop, true),
        ] {
            let options = ReadOptions {
                missing,
                pad,
                limits,
                format: Some(Format::Ts),
                ..ReadOptions::default()
            };
            if let Ok(data) = read_bytes("mutant", bytes.to_vec(), &options) {
                assert!(data.rows() > 0 && data.x.first_non_finite().is_none());
                assert!(data.target.iter().all(|t| t.is_finite()));
            }
        }
    });
}
