//! svmlight text: the table of what is accepted and refused (F01), threads, round trips, mutations.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::{mutate, parse, text_options};
use proptest::prelude::*;
use quadric_data::{
    Dataset, Format, IndexBase, ReadOptions, Target, WriteOptions, describe, encode, read,
    read_bytes, write,
};
use quadric_linalg::DataMatrix;
use quadric_linalg::random::SeedTree;

fn svm(text: &str) -> quadric_linalg::Result<Dataset> {
    parse(text, &text_options(Format::Svmlight))
}

fn rows(data: &Dataset) -> Vec<Vec<f64>> {
    describe(data).dense_rows.unwrap()
}

/// Text, target, rows.
type Accepted<'a> = (&'a str, &'a [f64], &'a [&'a [f64]]);

#[test]
fn t_f01_accepted() {
    let table: &[Accepted<'_>] = &[
        ("1 1:2\n-1 2:3\n", &[1.0, -1.0], &[&[2.0, 0.0], &[0.0, 3.0]]),
        ("1 0:2\n-1 1:3", &[1.0, -1.0], &[&[2.0, 0.0], &[0.0, 3.0]]),
        (
            "\u{feff}1 1:2\r\n\r\n-1\t1:3 \r\n",
            &[1.0, -1.0],
            &[&[2.0], &[3.0]],
        ),
        (
            "# only\n+1 1:.5#x 2:1\n2e0 1:-1E+2\n",
            &[1.0, 2.0],
            &[&[0.5], &[-100.0]],
        ),
        ("1\n-1\n", &[1.0, -1.0], &[&[], &[]]),
        ("3", &[3.0], &[&[]]),
        ("1 qid:7 1:1\n0 qid:7 1:2\n", &[1.0, 0.0], &[&[1.0], &[2.0]]),
        ("1 1:1e-999 2:1\n", &[1.0], &[&[0.0, 1.0]]),
        ("1 01:5\n", &[1.0], &[&[5.0]]),
        (
            "1 1:0 3:0\n2 2:1\n",
            &[1.0, 2.0],
            &[&[0.0, 0.0, 0.0], &[0.0, 1.0, 0.0]],
        ),
    ];
    for (text, target, dense) in table {
        let data = svm(text).unwrap_or_else(|e| panic!("{text:?}: {e:?}"));
        assert_eq!(data.target, *target, "{text:?}");
        assert_eq!(rows(&data), *dense, "{text:?}");
    }
}

#[test]
fn t_f01_refused() {
    let table: &[(&str, u64, u64, &str)] = &[
        ("", 1, 1, "no rows"),
        ("# nothing\n\n", 3, 1, "no rows"),
        ("1 1:2 4294967296:1\n", 1, 7, "out of range"),
        ("1 9223372036854775808:1", 1, 3, "out of range"),
        ("1 2147483647:1", 1, 3, "out of range"),
        ("1 -1:1", 1, 3, "out of range"),
        ("1 1:2\n1 1:\n", 2, 3, "no value"),
        ("1 1: 2\n", 1, 3, "no value"),
        ("1 :1", 1, 3, "no index"),
        ("1 1:nan", 1, 3, "not a finite"),
        ("1 1:1e400", 1, 3, "not a finite"),
        ("1 1:2 1:3", 1, 7, "duplicate"),
        ("1 2:2 1:3", 1, 7, "not ascending"),
        ("1 1:2\0 2:1", 1, 3, "not a number"),
        ("1 1:2,5", 1, 3, "not a number"),
        ("1,3 1:2", 1, 1, "not a number"),
        ("1 1:0x1F", 1, 3, "not a number"),
        ("1 1.5:2", 1, 3, "not a whole number"),
        ("1 a:2", 1, 3, "not a whole number"),
        ("x 1:2", 1, 1, "not a number"),
        ("1:2 2:3", 1, 1, "not a number"),
        ("nan 1:2", 1, 1, "not a finite"),
        ("1 1:2\n  \t1 2\n", 2, 6, "no colon"),
        ("1 qid:1 1:1\n1 1:1\n", 2, 3, "no query identifier"),
        ("1 1:1\n1 qid:1 1:1\n", 2, 3, "first row has none"),
        ("1 qid:-1 1:1", 1, 3, "query identifier"),
        ("1 qid:18446744073709551616 1:1", 1, 3, "query identifier"),
        ("1 1:1 qid:1", 1, 7, "right after the label"),
    ];
    for (text, line, column, words) in table {
        let error = svm(text).expect_err(text);
        let place = error
            .place()
            .unwrap_or_else(|| panic!("{text:?}: {error:?}"));
        assert_eq!(
            (place.line, place.column),
            (*line, *column),
            "{text:?}: {error:?}"
        );
        assert!(error.message().contains(words), "{text:?}: {error:?}");
    }
    // The value 1e308 twice overflows in the sum, whatever each one is.
    let merged = ReadOptions {
        sum_duplicates: true,
        ..text_options(Format::Svmlight)
    };
    assert!(
        parse("1 1:1e308 1:1e308", &merged)
            .unwrap_err()
            .message()
            .contains("infinity")
    );
}

#[test]
fn options_of_the_indices() {
    let with = |base, columns| ReadOptions {
        index_base: base,
        columns,
        ..text_options(Format::Svmlight)
    };
    let read = |text: &str, base, columns| parse(text, &with(base, columns));
    assert_eq!(read("1 1:2", IndexBase::Zero, None).unwrap().features(), 2);
    assert_eq!(
        read("1 1:2", IndexBase::Auto, Some(5)).unwrap().features(),
        5
    );
    assert_eq!(
        read("1 0:2 4:1", IndexBase::Auto, Some(5))
            .unwrap()
            .features(),
        5
    );
    for (text, base, columns, column) in [
        ("1 1:2 6:1", IndexBase::Auto, 5, 7),
        ("1 1:2 6:1", IndexBase::One, 5, 7),
        ("1 0:2 5:1", IndexBase::Auto, 5, 7),
        ("1 1:2 5:1", IndexBase::Zero, 5, 7),
        ("1 1:2", IndexBase::Auto, 0, 3),
        ("1 0:2", IndexBase::Auto, 0, 3),
    ] {
        let error = read(text, base, Some(columns)).expect_err(text);
        assert_eq!(error.place().unwrap().column, column, "{text}: {error:?}");
    }
    let merged = ReadOptions {
        sum_duplicates: true,
        ..text_options(Format::Svmlight)
    };
    let data = parse("1 3:1 1:2 3:-1 2:4 1:0.5\n0 1:1\n", &merged).unwrap();
    assert_eq!(rows(&data), [[2.5, 4.0, 0.0], [1.0, 0.0, 0.0]]);
    assert!(parse("1 1:1", &with(IndexBase::Auto, Some(usize::MAX))).is_err());
    // Columns have no names here.
    let named = ReadOptions {
        target: Target::Column("1".into()),
        ..text_options(Format::Svmlight)
    };
    assert!(parse("1 1:1", &named).is_err());
}

/// The largest index makes a wide matrix without a long list anywhere.
#[test]
fn nothing_grows_with_an_index() {
    let data = svm("1 1:1\n-1 2147483646:2\n").unwrap();
    assert_eq!(data.features(), 2_147_483_646);
    assert!(data.feature_names.is_empty());
    assert_eq!(data.feature_name(2_147_483_645), "2147483646");
    assert_eq!(describe(&data).nonzeros, 2);
    for format in [Format::Csv, Format::Npy] {
        let error = encode(&data, format).unwrap_err();
        assert_eq!(error.kind().name(), "Resource", "{error:?}");
    }
    assert_eq!(
        encode(&data, Format::Svmlight).unwrap(),
        b"1 1:1\n-1 2147483646:2\n"
    );
}

#[test]
fn storage_follows_the_fill_and_not_the_spelling() {
    let sparse = svm("1 1:1 9:0\n1 5:2\n").unwrap();
    assert!(matches!(sparse.x, DataMatrix::Sparse(_)));
    let written = svm("1 1:1 2:0 3:0 4:0 5:0 6:0 7:0 8:0 9:0\n1 5:2\n").unwrap();
    assert_eq!(format!("{:?}", sparse.x), format!("{:?}", written.x));
    for (name, dense) in [
        ("breast-cancer", true),
        ("australian", true),
        ("a9a", false),
        ("mushrooms", false),
    ] {
        let data = quadric_data::embedded(name).unwrap();
        assert_eq!(matches!(data.x, DataMatrix::Dense(_)), dense, "{name}");
    }
}

/// Rows with more than one piece of text between them.
fn large(rows: usize) -> String {
    let mut stream = SeedTree::new(11).child("large").stream(0);
    let mut text = String::new();
    for i in 0..rows {
        text += if stream.sign() > 0.0 { "1" } else { "-1" };
        for j in 1..40 {
            if stream.uniform() < 0.4 {
                text += &format!(" {j}:{}", (stream.normal() * 1000.0).round() / 1000.0);
            }
        }
        text += if i % 97 == 0 {
            " # note 3:4\r\n\n"
        } else {
            "\n"
        };
    }
    text
}

#[test]
fn any_number_of_threads_reads_the_same() {
    let text = large(20_000);
    assert!(text.len() > 1 << 21);
    let bad = {
        // Two faults in different pieces: the first one is told.
        let mut lines: Vec<&str> = text.lines().collect();
        lines[9_000] = "1 1:x";
        lines[17_000] = "1 2:1 1:1";
        lines.join("\n")
    };
    let mut results = Vec::new();
    for threads in [1, 2, 3, 8] {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let (data, error) = pool.install(|| (svm(&text).unwrap(), svm(&bad).unwrap_err()));
        assert_eq!(error.place().unwrap().line, 9_001);
        results.push((data.fingerprint(), error.to_string()));
    }
    assert!(results.windows(2).all(|w| w[0] == w[1]));
}

/// One line of several megabytes takes linear time.
#[test]
fn a_single_long_line() {
    let mut text = String::from("1");
    for j in 1..400_000 {
        text += &format!(" {j}:1");
    }
    let data = svm(&text).unwrap();
    assert_eq!((data.rows(), data.features()), (1, 399_999));
}

/// Values read by scikit-learn 1.9.1 (`load_svmlight_file`), made by `testdata/data-tests/svmlight.py`.
#[test]
fn equal_to_scikit_learn_on_valid_files() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../testdata/data-tests/svmlight.json"
    );
    let cases: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let cases = cases.as_array().unwrap();
    assert!(cases.len() >= 30);
    let floats = |v: &serde_json::Value| -> Vec<f64> {
        v.as_array()
            .unwrap()
            .iter()
            .map(|v| v.as_str().unwrap().parse().unwrap())
            .collect()
    };
    for case in cases {
        let text = case["text"].as_str().unwrap();
        let data = svm(text).unwrap_or_else(|e| panic!("{text:?}: {e:?}"));
        assert_eq!(data.target, floats(&case["target"]), "{text:?}");
        let dense: Vec<Vec<f64>> = case["dense"]
            .as_array()
            .unwrap()
            .iter()
            .map(floats)
            .collect();
        assert_eq!(rows(&data), dense, "{text:?}");
    }
}

#[test]
fn writing_is_refused_where_something_would_be_lost() {
    let mut data = svm("1 1:2\n").unwrap();
    data.weights = Some(vec![1.0]);
    assert!(encode(&data, Format::Svmlight).is_err());
    data.weights = None;
    data.classes = Some(vec!["a".into(), "b".into()]);
    assert!(encode(&data, Format::Svmlight).is_err());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.svm.gz");
    data.classes = None;
    write(&path, &data, &WriteOptions::default()).unwrap();
    assert_eq!(
        read(&path, &ReadOptions::default()).unwrap().fingerprint(),
        data.fingerprint()
    );
    let again = write(&path, &data, &WriteOptions::default()).unwrap_err();
    assert_eq!(again.kind().name(), "Io");
    write(
        &path,
        &data,
        &WriteOptions {
            overwrite: true,
            ..WriteOptions::default()
        },
    )
    .unwrap();
    #[cfg(unix)]
    {
        // As any new file, whatever the mask of this process is.
        use std::os::unix::fs::PermissionsExt;
        let plain = folder.path().join("plain");
        std::fs::write(&plain, "").unwrap();
        let mode = |p: &std::path::Path| std::fs::metadata(p).unwrap().permissions().mode();
        assert_eq!(mode(&path), mode(&plain));
        std::fs::remove_file(plain).unwrap();
    }
    // Nothing but the file is left behind.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    assert!(
        write(
            &folder.path().join("none/out.svm"),
            &data,
            &WriteOptions::default()
        )
        .is_err()
    );
    assert!(
        write(
            &folder.path().join("out.xyz"),
            &data,
            &WriteOptions::default()
        )
        .is_err()
    );
}

fn any_value() -> impl Strategy<Value = f64> {
    prop_oneof![
        Just(0.0),
        (-1000i32..1000).prop_map(|v| f64::from(v) / 8.0),
        any::<f64>().prop_filter("finite", |v| v.is_finite()),
    ]
}

proptest! {
    #![proptest_config(common::seeded(200))]

    #[test]
    fn writing_and_reading_is_the_identity(
        rows in proptest::collection::vec(
            (any::<f64>().prop_filter("finite", |v| v.is_finite()), any::<u64>(), proptest::collection::vec(any_value(), 6)),
            1..8,
        ),
        query in any::<bool>(),
    ) {
        let n = rows.len();
        let values: Vec<f64> = rows.iter().flat_map(|r| r.2.clone()).collect();
        let x = DataMatrix::dense(values, n, 6).unwrap();
        let mut data = Dataset::new("x.svm", x, rows.iter().map(|r| r.0).collect()).unwrap();
        data.query_ids = query.then(|| rows.iter().map(|r| r.1).collect());
        let text = encode(&data, Format::Svmlight).unwrap();
        let once = read_bytes("x.svm", text.clone(), &ReadOptions::default()).unwrap();
        prop_assert_eq!(once.features(), 6);
        prop_assert_eq!(&once.target, &data.target);
        prop_assert_eq!(&once.query_ids, &data.query_ids);
        prop_assert_eq!(describe(&once).dense_rows, describe(&data).dense_rows);
        prop_assert_eq!(encode(&once, Format::Svmlight).unwrap(), text);
    }
}

/// Random damage to valid files: an error or data, never a panic.
#[test]
fn mutations_do_not_break_the_reader() {
    let seeds = [
        "1 1:0.5 2:-1e-3\n-1 3:+2.5\n# c\n1 1:1E2 3:.5 # x\r\n",
        "1 qid:3 1:2 2:4\n0 qid:4 2:1\n",
    ];
    mutate(
        "svmlight",
        &seeds.map(|s| s.as_bytes().to_vec()),
        4000,
        |bytes| {
            for merge in [false, true] {
                let options = ReadOptions {
                    sum_duplicates: merge,
                    ..text_options(Format::Svmlight)
                };
                if let Ok(data) = read_bytes("m.svm", bytes.to_vec(), &options) {
                    assert!(data.x.first_non_finite().is_none());
                    assert_eq!(data.target.len(), data.rows());
                }
            }
        },
    );
}
