//! Readers of data files.

use quadric::data::{
    Dataset, Format, IndexBase, Missing, ReadOptions, Target, describe, encode, read_bytes,
};

pub fn svmlight(input: &[u8]) {
    for sum_duplicates in [false, true] {
        for index_base in [IndexBase::Auto, IndexBase::One] {
            let options = ReadOptions {
                format: Some(Format::Svmlight),
                sum_duplicates,
                index_base,
                ..ReadOptions::default()
            };
            check(input, &options, Format::Svmlight);
        }
    }
}

/// The length of the input decides about format, marks and target; a reader of CSV is slow to make where it counts its
/// branches.
pub fn csv(input: &[u8]) {
    let formats = [
        (Format::Csv, None),
        (Format::Csv, Some(',')),
        (Format::Tsv, None),
    ];
    let targets = [Target::Guess, Target::None, Target::Column("1".into())];
    let (format, thousands) = formats[input.len() % 3];
    for missing in [
        Missing::Error,
        Missing::Drop,
        Missing::Mean,
        Missing::Report,
    ] {
        let options = ReadOptions {
            format: Some(format),
            thousands,
            missing,
            target: targets[input.len() / 3 % 3].clone(),
            ..ReadOptions::default()
        };
        check(input, &options, format);
    }
}

pub fn npy(input: &[u8]) {
    arrays(input, Format::Npy);
}

pub fn npz(input: &[u8]) {
    arrays(input, Format::Npz);
}

fn arrays(input: &[u8], format: Format) {
    for missing in [Missing::Error, Missing::Drop, Missing::Report] {
        let options = ReadOptions {
            format: Some(format),
            missing,
            ..ReadOptions::default()
        };
        check(input, &options, format);
    }
}

/// IDX, CIFAR and whatever the contents look like; none of them is written, so NPZ holds what was read.
pub fn idx(input: &[u8]) {
    for format in [
        Some(Format::Idx),
        Some(Format::Cifar10),
        Some(Format::Cifar100),
        None,
    ] {
        let options = ReadOptions {
            format,
            ..ReadOptions::default()
        };
        check(input, &options, Format::Npz);
    }
}

/// Sequences are padded where their lengths differ; none of them is written, so NPZ holds what was read.
pub fn sequences(input: &[u8]) {
    for missing in [
        Missing::Error,
        Missing::Drop,
        Missing::Mean,
        Missing::Report,
    ] {
        for pad in [false, true] {
            let options = ReadOptions {
                format: Some(Format::Ts),
                missing,
                pad,
                ..ReadOptions::default()
            };
            check(input, &options, Format::Npz);
        }
    }
}

/// What is read is finite and complete, can be described, and survives being written and read.
fn check(input: &[u8], options: &ReadOptions, written_as: Format) {
    let Ok(data) = read_bytes("input", input.to_vec(), options) else {
        return;
    };
    let (n, d) = (data.rows(), data.features());
    assert!(n > 0, "a data set without rows");
    assert!(data.target.is_empty() || data.target.len() == n);
    assert!(data.feature_names.is_empty() || data.feature_names.len() == d);
    if let Some(weights) = &data.weights {
        assert!(weights.len() == n && weights.iter().all(|w| *w >= 0.0));
    }
    if options.missing == Missing::Report {
        let _ = describe(&data);
        return;
    }
    assert!(data.x.first_non_finite().is_none());
    assert!(data.target.iter().all(|v| v.is_finite()));
    survives(&data, written_as);
}

/// Whatever can be written is read as the same data.
fn survives(data: &Dataset, format: Format) {
    // A matrix of text or of zeros may be far larger than its file.
    if data.rows().saturating_mul(data.features()) > 1 << 18 {
        return;
    }
    let mut data = data.clone();
    let is_table = matches!(format, Format::Csv | Format::Tsv);
    if is_table {
        // Names that could be taken for numbers of columns, or for the target, say too little.
        let doubtful = |n: &String| n == "y" || n.trim().parse::<f64>().is_ok();
        data.columns.clear();
        if data.feature_names.iter().any(doubtful) {
            data.feature_names = (0..data.features()).map(|j| format!("f{j}")).collect();
        }
    }
    let Ok(bytes) = encode(&data, format) else {
        return;
    };
    let options = ReadOptions {
        format: Some(format),
        target: match is_table {
            true if data.target.is_empty() => Target::None,
            true => Target::Column("y".into()),
            false => Target::Guess,
        },
        columns: (format == Format::Svmlight).then_some(data.features()),
        ..ReadOptions::default()
    };
    let text = || String::from_utf8_lossy(&bytes).into_owned();
    let again = read_bytes("written", bytes.clone(), &options)
        .unwrap_or_else(|e| panic!("{e:?}: {}", text()));
    assert!(content(&again) == content(&data), "{}", text());
}

/// Everything but names and the way of storage, bit by bit.
fn content(data: &Dataset) -> impl PartialEq + '_ {
    let mut values = Vec::new();
    for i in 0..data.rows() {
        data.x.for_row(i, |j, v| {
            if v != 0.0 {
                values.push((i, j, v.to_bits()));
            }
        });
    }
    // By name: a class whose rows were all dropped is not written.
    let label = |v: &f64| match &data.classes {
        Some(classes) => classes[*v as usize].clone(),
        None => v.to_bits().to_string(),
    };
    let target: Vec<String> = data.target.iter().map(label).collect();
    let shape = (data.rows(), data.features());
    (shape, values, target, &data.query_ids)
}
