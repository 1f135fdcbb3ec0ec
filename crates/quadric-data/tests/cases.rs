//! Files that other tools misread, with their right answers: every entry of `testdata/cases/files/cases.toml`.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use quadric_data::{
    Dataset, IndexBase, Missing, ReadOptions, Summary, Target, Values, describe, read,
};
use quadric_linalg::{Error, Result};
use std::path::{Path, PathBuf};
use toml::{Table, Value};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/cases/files")
}

/// Options as the command line of the case sets them.
fn options(case: &Table, missing: Missing) -> ReadOptions {
    let target = match case["run"].as_str().unwrap().split_once("--target ") {
        Some((_, rest)) => Target::Column(rest.split_whitespace().next().unwrap().to_owned()),
        None => Target::Guess,
    };
    ReadOptions {
        target,
        missing,
        ..ReadOptions::default()
    }
}

fn load(file: &str, options: &ReadOptions) -> Result<Dataset> {
    read(&folder().join(file), options)
}

fn floats(v: &Value) -> Vec<f64> {
    v.as_array().unwrap().iter().map(float).collect()
}

fn float(v: &Value) -> f64 {
    v.as_float()
        .unwrap_or_else(|| v.as_integer().unwrap() as f64)
}

fn texts(v: &Value) -> Vec<String> {
    v.as_array()
        .unwrap()
        .iter()
        .map(|s| s.as_str().unwrap().to_owned())
        .collect()
}

fn rows(v: &Value) -> Vec<Vec<f64>> {
    v.as_array().unwrap().iter().map(floats).collect()
}

/// The error is at the place that the case tells, and of the kind that ends with exit code 3.
fn check_error(what: &str, expected: &Table, error: &Error) {
    assert!(
        ["Data", "Malformed"].contains(&error.kind().name()),
        "{what}: {error:?}"
    );
    let place = error
        .place()
        .unwrap_or_else(|| panic!("{what}: no place in {error:?}"));
    let number = |key: &str| expected.get(key).map(|v| v.as_integer().unwrap() as u64);
    if let Some(line) = number("line") {
        assert_eq!(place.line, line, "{what}: {error:?}");
    }
    if let Some(lines) = expected.get("line_one_of") {
        assert!(
            floats(lines).contains(&(place.line as f64)),
            "{what}: {error:?}"
        );
    }
    if let Some(range) = expected.get("column_in_token") {
        let range = floats(range);
        let column = place.column as f64;
        assert!(
            range[0] <= column && column <= range[1],
            "{what}: {error:?}"
        );
    }
    if let Some(kind) = expected.get("kind") {
        assert!(
            error.message().contains(kind.as_str().unwrap()),
            "{what}: {error:?}"
        );
    }
    for word in expected.get("mentions").map(texts).unwrap_or_default() {
        assert!(error.to_string().contains(&word), "{what}: {error:?}");
    }
}

fn column<'a>(summary: &'a Summary, name: &str) -> &'a Values {
    &summary.column_values.as_ref().unwrap()[name]
}

fn numbers(values: &Values) -> &[f64] {
    match values {
        Values::Numbers(v) => v,
        Values::Texts(v) => panic!("text {v:?}"),
    }
}

/// Checks one fact of the case; returns false for keys that are no facts about reading.
fn check_fact(what: &str, key: &str, expected: &Value, s: &Summary) -> bool {
    match key {
        "rows" => assert_eq!(s.rows as f64, float(expected), "{what}"),
        "columns" => assert_eq!(s.columns as f64, float(expected), "{what}"),
        "nonzeros" => assert_eq!(s.nonzeros as f64, float(expected), "{what}"),
        "missing" => assert_eq!(s.missing as f64, float(expected), "{what}"),
        "target" => assert_eq!(s.target, Values::Numbers(floats(expected)), "{what}"),
        "dense" => assert_eq!(s.dense_rows.as_ref().unwrap(), &rows(expected), "{what}"),
        "names" => assert_eq!(s.names, texts(expected), "{what}"),
        "numeric_columns" => assert_eq!(s.numeric_columns, texts(expected), "{what}"),
        "categorical_columns" => assert_eq!(s.categorical_columns, texts(expected), "{what}"),
        "qid" => assert_eq!(s.qid.as_ref().unwrap(), &texts(expected), "{what}"),
        "value_row1_col1" => assert_eq!(
            s.dense_rows.as_ref().unwrap()[0][0],
            float(expected),
            "{what}"
        ),
        "column_x" | "column_amount" => {
            assert_eq!(numbers(column(s, &key[7..])), floats(expected), "{what}");
        }
        "column_name" => assert_eq!(*column(s, "name"), Values::Texts(texts(expected)), "{what}"),
        "column_v_sum" => {
            // Exact to the last bits: the case allows 1e-14.
            let sum: f64 = numbers(column(s, "v")).iter().sum();
            assert!((sum / float(expected) - 1.0).abs() < 1e-14, "{what}: {sum}");
        }
        "column_v_last_four" => {
            let v = numbers(column(s, "v"));
            assert_eq!(v[v.len() - 4..], floats(expected), "{what}");
        }
        _ => return false,
    }
    true
}

fn check_file(case: &Table, file: &str, expected: &Value) {
    let id = case["id"].as_str().unwrap();
    let what = format!("{id}/{file}");
    let options = options(case, Missing::Report);
    let result = load(file, &options);
    let Some(table) = expected.as_table() else {
        let summary = describe(&result.unwrap());
        assert_eq!(summary.dense_rows.unwrap(), rows(expected), "{what}");
        return;
    };
    if let Some(error) = table.get("error") {
        check_error(&what, error.as_table().unwrap(), &result.unwrap_err());
        if let Some(merged) = table.get("with_sum_duplicates") {
            let options = ReadOptions {
                sum_duplicates: true,
                ..options
            };
            let summary = describe(&load(file, &options).unwrap());
            assert_eq!(
                summary.dense_rows.unwrap(),
                rows(&merged["dense"]),
                "{what}"
            );
        }
        return;
    }
    let summary = describe(&result.unwrap());
    for (key, value) in table {
        let known = check_fact(&what, key, value, &summary);
        match key.as_str() {
            "forced_one_based" => {
                let options = ReadOptions {
                    index_base: IndexBase::One,
                    ..options.clone()
                };
                check_error(
                    &what,
                    value["error"].as_table().unwrap(),
                    &load(file, &options).unwrap_err(),
                );
            }
            "inspect" => {
                for (key, value) in value.as_table().unwrap() {
                    // `problems` is in words: column and lines.
                    assert!(check_fact(&what, key, value, &summary) || key == "problems");
                }
                let told = summary.problems.join("\n");
                assert!(
                    told.contains("flag") && told.contains("lines 3 to 5"),
                    "{told}"
                );
            }
            "fit" => {
                let options = ReadOptions {
                    missing: Missing::Error,
                    ..options.clone()
                };
                check_error(
                    &what,
                    value["error"].as_table().unwrap(),
                    &load(file, &options).unwrap_err(),
                );
            }
            "either" => check_alternatives(&what, file, value, &options),
            // About several files (`check_same`), about fitting, or in words.
            "files"
            | "same_matrix"
            | "same_for_both_files"
            | "rule"
            | "note"
            | "hint"
            | "memory"
            | "or_instead"
            | "status"
            | "coef"
            | "intercept"
            | "objective" => {}
            _ => assert!(known, "{what}: nobody checks `{key}`"),
        }
    }
}

/// Several behaviours are right; ours shows all of them, each with its own options.
fn check_alternatives(what: &str, file: &str, all: &Value, options: &ReadOptions) {
    for one in all.as_array().unwrap() {
        let one = one.as_table().unwrap();
        if let Some(error) = one.get("error") {
            let options = ReadOptions {
                missing: Missing::Error,
                ..options.clone()
            };
            check_error(
                what,
                error.as_table().unwrap(),
                &load(file, &options).unwrap_err(),
            );
        } else if let Some(problem) = one.get("problems") {
            let told = describe(&load(file, options).unwrap()).problems.join("\n");
            assert!(told.contains(problem.as_str().unwrap()), "{what}: {told}");
        } else if let Some(facts) = one.get("with_explicit_flag") {
            let options = ReadOptions {
                thousands: Some(','),
                ..options.clone()
            };
            let summary = describe(&load(file, &options).unwrap());
            for (key, value) in facts.as_table().unwrap() {
                assert!(check_fact(what, key, value, &summary), "{what}: {key}");
            }
        } else {
            panic!("{what}: an alternative that nobody checks");
        }
    }
}

/// All files of the case hold the same data.
fn check_same(case: &Table, files: &[String]) {
    let all: Vec<Dataset> = files
        .iter()
        .map(|f| load(f, &ReadOptions::default()).unwrap())
        .collect();
    for other in &all[1..] {
        assert_eq!(
            format!("{:?}", all[0].x),
            format!("{:?}", other.x),
            "{}",
            case["id"]
        );
        assert_eq!(all[0].target, other.target);
    }
}

#[test]
fn every_case_has_its_right_answer() {
    let text = std::fs::read_to_string(folder().join("cases.toml")).unwrap();
    let cases: Table = text.parse().unwrap();
    let mut count = 0;
    for case in cases["case"].as_array().unwrap() {
        let case = case.as_table().unwrap();
        if case["part"].as_str() != Some("data") {
            continue;
        }
        count += 1;
        let (files, expect) = (texts(&case["input"]), case["expect"].as_table().unwrap());
        for file in &files {
            let own = expect.get("files").and_then(|f| f.get(file));
            check_file(case, file, own.unwrap_or(&case["expect"]));
        }
        if ["same_matrix", "same_for_both_files"]
            .iter()
            .any(|k| expect.contains_key(*k))
        {
            check_same(case, &files);
        }
    }
    assert!(count >= 17, "only {count} cases were found");
}

/// 2^56 + 1 and its like survive reading and writing.
#[test]
fn query_identifiers_keep_every_digit() {
    let data = load("large_qid.svm", &ReadOptions::default()).unwrap();
    let text = quadric_data::encode(&data, quadric_data::Format::Svmlight).unwrap();
    assert!(
        String::from_utf8(text)
            .unwrap()
            .starts_with("1 qid:72057594037927937 1:9007199254740992 2:1\n")
    );
}
