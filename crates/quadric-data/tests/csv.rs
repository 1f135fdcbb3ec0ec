//! CSV: the table of what is accepted and refused (F02), missing values, categories, round trips, mutations.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::{mutate, parse, text_options};
use proptest::prelude::*;
use quadric_data::{
    ColumnKind, Dataset, Format, Limits, Missing, ReadOptions, Target, TroubleKind, describe,
    encode, read, read_bytes,
};
use quadric_linalg::{DataMatrix, ErrorKind};

fn csv() -> ReadOptions {
    text_options(Format::Csv)
}

fn plain(text: &str) -> quadric_linalg::Result<Dataset> {
    parse(
        text,
        &ReadOptions {
            target: Target::None,
            ..csv()
        },
    )
}

fn rows(data: &Dataset) -> Vec<Vec<f64>> {
    describe(data).dense_rows.unwrap()
}

/// Text, names of the features, rows.
type Accepted<'a> = (&'a str, &'a [&'a str], &'a [&'a [f64]]);

#[test]
fn t_f02_accepted() {
    let table: &[Accepted<'_>] = &[
        ("a,b\n1,2\n3,4\n", &["a", "b"], &[&[1.0, 2.0], &[3.0, 4.0]]),
        ("1,2\n3,4", &["1", "2"], &[&[1.0, 2.0], &[3.0, 4.0]]),
        (
            "\u{feff}a;b\r\n1;2\r\n\r\n3;4\r\n",
            &["a", "b"],
            &[&[1.0, 2.0], &[3.0, 4.0]],
        ),
        ("a,b;;;c\n1,2\n", &["a", "b;;;c"], &[&[1.0, 2.0]]),
        ("a\tb\n1\t2\n", &["a", "b"], &[&[1.0, 2.0]]),
        ("\"a\",\"b,c\"\n\"1\", 2 \n", &["a", "b,c"], &[&[1.0, 2.0]]),
        ("t,0,1\n5,1,2\n", &["t", "0", "1"], &[&[5.0, 1.0, 2.0]]),
        ("a\n1\n", &["a"], &[&[1.0]]),
        ("a,a\n1,2\n", &["a", "a_2"], &[&[1.0, 2.0]]),
        ("a,\n1,2\n", &["a", "2"], &[&[1.0, 2.0]]),
        (
            "c,v\nred,1\nblue,2\nred,3\n",
            &["c=blue", "c=red", "v"],
            &[&[0.0, 1.0, 1.0], &[1.0, 0.0, 2.0], &[0.0, 1.0, 3.0]],
        ),
        (
            "red,1\nblue,2\n",
            &["1=blue", "1=red", "2"],
            &[&[0.0, 1.0, 1.0], &[1.0, 0.0, 2.0]],
        ),
    ];
    for (text, names, values) in table {
        let data = plain(text).unwrap_or_else(|e| panic!("{text:?}: {e:?}"));
        assert_eq!(data.feature_names, *names, "{text:?}");
        assert_eq!(rows(&data), *values, "{text:?}");
    }
    assert_eq!(
        plain("a,a\n1,2\n3,3\n").unwrap().problems[0].kind,
        TroubleKind::DuplicateName
    );
}

#[test]
fn t_f02_refused() {
    let table: &[(&str, u64, u64, &str)] = &[
        ("", 1, 1, "no rows"),
        ("a,b\n", 2, 1, "no rows"),
        ("a,b\n1,2\n3\n", 3, 1, "1 fields"),
        ("a,b\n1,2,3\n", 2, 1, "3 fields"),
        ("a,b\n1,\"2\n3,4\n", 2, 3, "never closed"),
        ("a,b\n\"1,2\n", 2, 1, "never closed"),
        ("a,b\n1,x\n2,3\n", 2, 3, "not numeric"),
        ("a,b\n1,2\n2, x\n", 3, 4, "not numeric"),
        ("a,b\n1,1e309\n", 2, 3, "not a finite"),
        ("a,b\n1,-inf\n", 2, 3, "not a finite"),
        ("a,b\n1,0x1F\n2,0x20\n", 2, 3, "not numeric"),
        ("a,b\n1,\"1,234.5\"\n", 2, 3, "not numeric"),
        ("a;b\n1;2,5\n", 2, 3, "not numeric"),
        ("a,b\n1,2\n,3\n", 3, 1, "`a` has no value"),
        ("a,b\n1,NA\n", 2, 3, "`b` has no value"),
        ("a,b\n\"x\ny\",1\nz,\n", 4, 3, "`b` has no value"),
    ];
    for (text, line, column, words) in table {
        let error = plain(text).expect_err(text);
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
    let latin = read_bytes("x.csv", b"c,y\nM\xfcller,1\nx,2\n".to_vec(), &csv()).unwrap_err();
    assert!(
        latin.message().contains("UTF-8") && latin.place().unwrap().line == 2,
        "{latin:?}"
    );
}

#[test]
fn t_f02_limits() {
    let wide = |n: usize| {
        let names: Vec<String> = (0..n).map(|j| format!("c{j}")).collect();
        format!("{}\n{}\n", names.join(","), vec!["1"; n].join(","))
    };
    assert_eq!(plain(&wide(100_000)).unwrap().features(), 100_000);
    assert_eq!(
        plain(&wide(200_000)).unwrap_err().kind(),
        ErrorKind::Resource
    );
    let mut text = String::from("id,v\n");
    (0..1001).for_each(|i| text += &format!("n{i},{i}\n"));
    let error = plain(&text).unwrap_err();
    assert!(
        error.message().contains("1000 different") && error.place().unwrap().line == 1002,
        "{error:?}"
    );
    let wider = Limits {
        categories: 2000,
        ..Limits::default()
    };
    let data = parse(
        &text,
        &ReadOptions {
            target: Target::None,
            limits: wider,
            ..csv()
        },
    )
    .unwrap();
    assert_eq!(data.features(), 1002);
    assert!(matches!(data.x, DataMatrix::Sparse(_)));
    let report = ReadOptions {
        target: Target::None,
        missing: Missing::Report,
        ..csv()
    };
    let data = parse(&text, &report).unwrap();
    assert_eq!(
        (data.features(), data.problems[0].kind),
        (1, TroubleKind::TooManyCategories)
    );
}

#[test]
fn target_and_weight() {
    let text = "A,Label,s\n1,yes,2\n2,no,0\n3,yes,1\n";
    let data = parse(
        text,
        &ReadOptions {
            weight: Some("s".into()),
            ..csv()
        },
    )
    .unwrap();
    assert_eq!(data.target, [1.0, 0.0, 1.0]);
    assert_eq!(
        data.classes.as_deref(),
        Some(&["no".to_owned(), "yes".to_owned()][..])
    );
    assert_eq!(data.weights.as_deref(), Some(&[2.0, 0.0, 1.0][..]));
    assert_eq!(data.feature_names, ["A"]);
    let kinds: Vec<ColumnKind> = data.columns.iter().map(|c| c.kind).collect();
    assert_eq!(
        kinds,
        [ColumnKind::Numeric, ColumnKind::Target, ColumnKind::Weight]
    );
    let by_number = parse(
        text,
        &ReadOptions {
            target: Target::Column("1".into()),
            ..csv()
        },
    )
    .unwrap();
    assert_eq!(by_number.target, [1.0, 2.0, 3.0]);
    for (text, words) in [
        ("a,b\n1,2\n", "`a`, `b`"),
        ("y,label\n1,2\n", "more than one"),
        ("1,2\n3,4\n", "1 to 2"),
    ] {
        let error = parse(text, &csv()).unwrap_err();
        assert!(
            error.message().contains(words) && error.hint().unwrap().contains("--target"),
            "{error:?}"
        );
    }
    for (weight, target) in [("z", "A"), ("A", "A"), ("Label", "A"), ("4", "A")] {
        let options = ReadOptions {
            weight: Some(weight.into()),
            target: Target::Column(target.into()),
            ..csv()
        };
        assert_eq!(
            parse(text, &options).unwrap_err().kind(),
            ErrorKind::Argument,
            "{weight}"
        );
    }
    let weighted = |text: &str| {
        parse(
            text,
            &ReadOptions {
                weight: Some("s".into()),
                ..csv()
            },
        )
        .unwrap_err()
    };
    let negative = weighted("y,s\n1,1\n0,-1\n");
    assert_eq!(
        (
            negative.place().unwrap().line,
            negative.place().unwrap().column
        ),
        (3, 3)
    );
    assert!(weighted("y,s\n1,0\n0,0\n").message().contains("zero"));
}

#[test]
fn policies_for_missing_values() {
    let text = "a,b,y\n1,2,0\n,4,1\n3,,0\n5,6,1\n";
    let with = |missing| parse(text, &ReadOptions { missing, ..csv() });
    assert_eq!(with(Missing::Error).unwrap_err().place().unwrap().line, 3);
    let dropped = with(Missing::Drop).unwrap();
    assert_eq!(
        (rows(&dropped), dropped.target.clone()),
        (vec![vec![1.0, 2.0], vec![5.0, 6.0]], vec![0.0, 1.0])
    );
    assert_eq!(dropped.problems[0].lines, [3]);
    let mean = with(Missing::Mean).unwrap();
    assert_eq!(rows(&mean)[1..3], [vec![3.0, 4.0], vec![3.0, 4.0]]);
    let report = describe(&with(Missing::Report).unwrap());
    assert_eq!(report.missing, 2);
    assert!(report.dense_rows.unwrap()[1][0].is_nan());
    assert_eq!(
        report.problems,
        [
            "column a: 1 missing value, line 3",
            "column b: 1 missing value, line 4"
        ]
    );
    // Targets and text are never made up.
    for text in ["a,y\n1,\n2,1\n", "c,y\nred,1\n,0\n", "a,y\n,1\n,0\n"] {
        assert!(
            parse(
                text,
                &ReadOptions {
                    missing: Missing::Mean,
                    ..csv()
                }
            )
            .is_err(),
            "{text:?}"
        );
    }
    let none = parse(
        "a,y\n,1\n,0\n",
        &ReadOptions {
            missing: Missing::Drop,
            ..csv()
        },
    );
    assert!(none.unwrap_err().message().contains("every row"));
}

#[test]
fn numbers_with_marks_and_numbers_that_are_names() {
    let marked = ReadOptions {
        thousands: Some(','),
        ..csv()
    };
    let data = parse("a,y\n\"-1,234,567.5\",1\n12,0\n", &marked).unwrap();
    assert_eq!(rows(&data), [[-1_234_567.5], [12.0]]);
    assert!(parse("a,y\n\"1,23\",1\n12,0\n", &marked).is_err());
    let named = ReadOptions {
        categorical: vec!["zip".into()],
        ..csv()
    };
    let data = parse("zip,y\n10115,1\n20095,0\n", &named).unwrap();
    assert_eq!(data.feature_names, ["zip=10115", "zip=20095"]);
    let headless = ReadOptions {
        header: Some(false),
        target: Target::None,
        ..csv()
    };
    assert_eq!(parse("a,b\nc,d\n", &headless).unwrap().rows(), 2);
}

#[test]
fn side_files() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let data = put("x.svm", "1 1:2\n0 2:1\n");
    let with = |weights: &str| {
        let path = put("w.csv", weights);
        read(
            &data,
            &ReadOptions {
                sample_weight_file: Some(path),
                ..ReadOptions::default()
            },
        )
    };
    assert_eq!(with("s\n2\n1\n").unwrap().weights, Some(vec![2.0, 1.0]));
    assert_eq!(with("2\n1\n").unwrap().weights, Some(vec![2.0, 1.0]));
    for bad in [
        "s\n1\n",
        "1\n2\n3\n",
        "1,2\n3,4\n",
        "s\n1\n-1\n",
        "0\n0\n",
        "s\na\nb\n",
        "",
    ] {
        assert!(with(bad).is_err(), "{bad:?}");
    }
    let labels = put("y.txt", "label\ncat\ndog\n");
    let options = ReadOptions {
        labels: Some(labels),
        ..ReadOptions::default()
    };
    let data = read(&put("z.csv", "a,b\n1,2\n3,4\n"), &options).unwrap();
    assert_eq!((data.target.clone(), data.features()), (vec![0.0, 1.0], 2));
    assert_eq!(data.classes.unwrap(), ["cat", "dog"]);
}

/// Numbered features with a named target get names that are no numbers, so that the header is told from a row.
#[test]
fn numbered_features_with_a_text_target() {
    let headless = ReadOptions {
        target: Target::Column("1".into()),
        ..csv()
    };
    let data = parse("cat,1,2\ndog,3,4\n", &headless).unwrap();
    let text = String::from_utf8(encode(&data, Format::Csv).unwrap()).unwrap();
    assert_eq!(text, "x2,x3,y\n1,2,cat\n3,4,dog\n");
    let again = parse(&text, &csv()).unwrap();
    assert_eq!(
        (again.classes.clone(), again.fingerprint()),
        (data.classes.clone(), data.fingerprint())
    );
}

proptest! {
    #![proptest_config(common::seeded(200))]

    #[test]
    fn writing_and_reading_is_the_identity(
        table in proptest::collection::vec(proptest::collection::vec(any::<f64>().prop_filter("finite", |v| v.is_finite()), 3), 1..8),
        names in proptest::collection::hash_set("[a-z \",;\n#=]{0,5}[a-z]", 2),
        texts in any::<bool>(),
        weighted in any::<bool>(),
    ) {
        let n = table.len();
        let values: Vec<f64> = table.iter().flat_map(|r| r[..2].to_vec()).collect();
        let x = DataMatrix::dense(values, n, 2).unwrap();
        let mut data = Dataset::new("x.csv", x, table.iter().map(|r| r[2]).collect()).unwrap();
        data.feature_names = names.into_iter().map(|n| format!("n{n}")).collect();
        if texts && n > 1 {
            data.target = (0..n).map(|i| (i % 2) as f64).collect();
            data.classes = Some(vec!["a \"q\"\nb".into(), "b,c".into()]);
        }
        data.weights = weighted.then(|| (0..n).map(|i| 1.0 + i as f64).collect());
        for (format, name) in [(Format::Csv, "x.csv"), (Format::Tsv, "x.tsv")] {
            let text = encode(&data, format).unwrap();
            let options = ReadOptions { weight: weighted.then(|| "weight".into()), ..ReadOptions::default() };
            let again = read_bytes(name, text, &options).unwrap();
            prop_assert_eq!(&again.feature_names, &data.feature_names);
            prop_assert_eq!(&again.classes, &data.classes);
            prop_assert_eq!(again.fingerprint(), data.fingerprint());
        }
    }
}

#[test]
fn mutations_do_not_break_the_reader() {
    let seeds = [
        "a,b,y\n1,2,0\n\"3\",x,1\n",
        "\u{feff}c;y\r\nred;1\r\n\"bl\"\"ue\";0\r\n",
        "1,2\n3,4\n,5\n",
        "a,y\n\"1,234\",1\nNA,0\n",
    ];
    mutate(
        "csv",
        &seeds.map(|s| s.as_bytes().to_vec()),
        4000,
        |bytes| {
            for missing in [
                Missing::Error,
                Missing::Drop,
                Missing::Mean,
                Missing::Report,
            ] {
                for target in [Target::Guess, Target::None] {
                    let options = ReadOptions {
                        missing,
                        target,
                        thousands: Some(','),
                        ..csv()
                    };
                    if let Ok(data) = read_bytes("m.csv", bytes.to_vec(), &options) {
                        assert!(missing == Missing::Report || data.x.first_non_finite().is_none());
                        let _ = describe(&data);
                    }
                }
            }
        },
    );
}
