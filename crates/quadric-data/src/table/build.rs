//! From a table to a data set: target and weights taken out, missing values settled, text as indicator columns.

use super::{Column, Table};
use crate::dataset::{self, ColumnInfo, ColumnKind, Dataset, numbered_names, prefers_dense};
use crate::options::{Missing, ReadOptions, Target};
use crate::trouble::{Trouble, TroubleKind, quote, spell_lines};
use quadric_linalg::{DataMatrix, Error, ErrorKind, Result};

/// Names that say "target", whatever their case.
const TARGET_NAMES: [&str; 4] = ["y", "target", "label", "class"];
/// Bytes that the names of indicator columns may take together.
const NAME_BYTES: usize = 64 << 20;

/// Which columns are what.
struct Roles {
    target: Option<usize>,
    weight: Option<usize>,
}

impl Roles {
    fn kind(&self, j: usize, column: &Column) -> ColumnKind {
        if Some(j) == self.target {
            ColumnKind::Target
        } else if Some(j) == self.weight {
            ColumnKind::Weight
        } else if column.categories.is_some() {
            ColumnKind::Categorical
        } else {
            ColumnKind::Numeric
        }
    }
}

/// Makes the data set.
///
/// # Errors
/// A target or weight that cannot be found or used, missing values that the options do not allow, no rows left.
pub(crate) fn build(
    mut table: Table<'_>,
    options: &ReadOptions,
    mut problems: Vec<Trouble>,
) -> Result<Dataset> {
    let roles = Roles {
        target: find_target(&table, options, &mut problems)?,
        weight: options
            .weight
            .as_deref()
            .map(|w| find(&table.columns, w, "weight"))
            .transpose()?,
    };
    if roles.target.is_some() && roles.target == roles.weight {
        return Err(Error::argument("weight", "the target", "another column"));
    }
    check_weight(&table, &roles)?;
    remark_missing(&table, &mut problems);
    settle_missing(&mut table, &roles, options.missing)?;
    remark_constant(&table, &roles, &mut problems);
    let width = table.columns.len();
    let pick = |j: usize| {
        table
            .values
            .iter()
            .skip(j)
            .step_by(width)
            .copied()
            .collect::<Vec<f64>>()
    };
    let target = roles.target.map(pick).unwrap_or_default();
    let classes = roles
        .target
        .and_then(|j| table.columns[j].categories.clone());
    let weights = roles.weight.map(pick);
    let (x, feature_names, columns) = features(table, &roles)?;
    let data = Dataset {
        name: columns.0,
        x,
        axes: None,
        target,
        classes,
        weights,
        feature_names,
        query_ids: None,
        problems,
        columns: columns.1,
    };
    Ok(data)
}

/// The column that a user names by its name or its number.
pub(super) fn find(columns: &[Column], wanted: &str, role: &str) -> Result<usize> {
    if let Some(j) = columns.iter().position(|c| c.name == wanted) {
        return Ok(j);
    }
    match wanted.parse::<usize>() {
        Ok(j) if (1..=columns.len()).contains(&j) => Ok(j - 1),
        _ => Err(Error::argument(
            role,
            quote(wanted.as_bytes()),
            &format!("a column: {}", list(columns)),
        )),
    }
}

/// For each column whether it is among those named.
pub(super) fn find_all(columns: &[Column], wanted: &[String]) -> Result<Vec<bool>> {
    let mut found = vec![false; columns.len()];
    for name in wanted {
        found[find(columns, name, "categorical")?] = true;
    }
    Ok(found)
}

/// The names of the first columns, or how many there are.
fn list(columns: &[Column]) -> String {
    if columns.iter().all(|c| c.name.is_empty()) {
        return format!("a number from 1 to {}", columns.len());
    }
    let shown: Vec<String> = columns
        .iter()
        .take(12)
        .map(|c| quote(c.name.as_bytes()))
        .collect();
    match columns.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn find_target(
    table: &Table<'_>,
    options: &ReadOptions,
    problems: &mut Vec<Trouble>,
) -> Result<Option<usize>> {
    let guess = match &options.target {
        Target::None => return Ok(None),
        Target::Column(name) => return find(&table.columns, name, "target").map(Some),
        // Labels come from another file, or the file has no names to guess from.
        Target::Guess if options.labels.is_some() || !table.has_lines => return Ok(None),
        Target::Guess => table
            .columns
            .iter()
            .enumerate()
            .filter(|(_, c)| TARGET_NAMES.iter().any(|t| c.name.eq_ignore_ascii_case(t))),
    };
    let found: Vec<usize> = guess.map(|(j, _)| j).collect();
    if let [j] = found[..] {
        return Ok(Some(j));
    }
    let what = if found.is_empty() {
        "no column is called y, target, label or class"
    } else {
        "more than one column is called y, target, label or class"
    };
    let message = format!("{what}; the columns are {}", list(&table.columns));
    if options.missing == Missing::Report {
        problems.push(Trouble::new(TroubleKind::NoTarget, None, message));
        return Ok(None);
    }
    Err(
        Error::new(ErrorKind::Argument, format!("`{}`: {message}", table.name))
            .with_hint("name the target with --target COLUMN (a name or a number from 1)"),
    )
}

fn check_weight(table: &Table<'_>, roles: &Roles) -> Result<()> {
    let Some(j) = roles.weight else {
        return Ok(());
    };
    if table.columns[j].categories.is_some() {
        return Err(Error::argument(
            "weight",
            quote(table.column_name(j).as_bytes()),
            "a column of numbers",
        ));
    }
    let column = table.values.iter().skip(j).step_by(table.columns.len());
    match column.clone().position(|w| *w < 0.0) {
        Some(i) => Err(Error::data_at(
            (table.place)(i, j),
            format!(
                "the weight {} is negative",
                table.values[i * table.columns.len() + j]
            ),
        )),
        None if column.clone().all(|w| *w == 0.0) => Err(Error::data(format!(
            "every weight in column `{}` is zero",
            table.column_name(j)
        ))),
        None => Ok(()),
    }
}

fn remark_missing(table: &Table<'_>, problems: &mut Vec<Trouble>) {
    for (j, column) in table
        .columns
        .iter()
        .enumerate()
        .filter(|(_, c)| c.missing > 0)
    {
        let name = table.column_name(j);
        let (total, lines) = (column.missing, &column.missing_lines);
        let plural = if total == 1 { "value" } else { "values" };
        let mut spelled = spell_lines(lines, total);
        if !table.has_lines {
            spelled = spelled.replacen("line", "row", 1);
        }
        let message = format!("column {name}: {total} missing {plural}, {spelled}");
        let trouble = Trouble::new(TroubleKind::Missing, Some(&name), message);
        problems.push(if table.has_lines {
            trouble.at(lines)
        } else {
            trouble
        });
    }
}

/// Refuses, drops, fills in or keeps what is missing.
fn settle_missing(table: &mut Table<'_>, roles: &Roles, policy: Missing) -> Result<()> {
    if policy == Missing::Report || table.columns.iter().all(|c| c.missing == 0) {
        return Ok(());
    }
    match policy {
        Missing::Drop => drop_rows(table),
        Missing::Mean => fill_means(table, roles),
        Missing::Error | Missing::Report => {
            let width = table.columns.len();
            match table.values.iter().position(|v| v.is_nan()) {
                None => Ok(()),
                Some(at) => Err(
                    missing_at(table, at / width, at % width, "has no value here").with_hint(
                        "missing values need a policy: --missing drop or --missing mean",
                    ),
                ),
            }
        }
    }
}

fn missing_at(table: &Table<'_>, row: usize, column: usize, what: &str) -> Error {
    let message = format!("column `{}` {what}", table.column_name(column));
    if table.has_lines {
        return Error::data_at((table.place)(row, column), message);
    }
    Error::data_at(
        (table.place)(row, column),
        format!("row {}, {message}", row + 1),
    )
}

fn drop_rows(table: &mut Table<'_>) -> Result<()> {
    let width = table.columns.len();
    let mut kept = 0;
    for i in 0..table.rows {
        let row = i * width..(i + 1) * width;
        if table.values[row.clone()].iter().all(|v| !v.is_nan()) {
            table.values.copy_within(row, kept * width);
            kept += 1;
        }
    }
    if kept == 0 {
        return Err(Error::data(format!(
            "`{}`: every row has a missing value, so that none is left",
            table.name
        )));
    }
    table.values.truncate(kept * width);
    table.rows = kept;
    Ok(())
}

fn fill_means(table: &mut Table<'_>, roles: &Roles) -> Result<()> {
    let width = table.columns.len();
    for j in (0..width).filter(|j| table.columns[*j].missing > 0) {
        let first = table
            .values
            .iter()
            .skip(j)
            .step_by(width)
            .position(|v| v.is_nan());
        let row = first.expect("a value of this column is missing");
        let column = &table.columns[j];
        if Some(j) == roles.target || Some(j) == roles.weight || column.categories.is_some() {
            return Err(missing_at(
                table,
                row,
                j,
                "has no value here and no mean that could stand for it",
            )
            .with_hint("--missing drop leaves such rows out"));
        }
        let present = table.rows - column.missing;
        if present == 0 {
            return Err(missing_at(table, row, j, "has no value in any row"));
        }
        let scale = 1.0 / present as f64;
        let mean: f64 = table
            .values
            .iter()
            .skip(j)
            .step_by(width)
            .filter(|v| !v.is_nan())
            .map(|v| v * scale)
            .sum();
        for v in table.values.iter_mut().skip(j).step_by(width) {
            if v.is_nan() {
                *v = mean;
            }
        }
    }
    Ok(())
}

fn remark_constant(table: &Table<'_>, roles: &Roles, problems: &mut Vec<Trouble>) {
    let width = table.columns.len();
    if table.rows < 2 || width > Dataset::NAMED {
        return;
    }
    let mut same = vec![true; width];
    let first = &table.values[..width];
    for row in table.values.chunks_exact(width) {
        for ((same, a), b) in same.iter_mut().zip(row).zip(first) {
            *same &= a == b;
        }
    }
    for j in
        (0..width).filter(|j| same[*j] && Some(*j) != roles.weight && !table.columns[*j].dropped)
    {
        if problems.len() > 1000 {
            return;
        }
        let name = table.column_name(j);
        let value = match &table.columns[j].categories {
            Some(c) => c.get(first[j] as usize).cloned().unwrap_or_default(),
            None => first[j].to_string(),
        };
        let message = format!("column {name} is {} in every row", quote(value.as_bytes()));
        problems.push(Trouble::new(TroubleKind::Constant, Some(&name), message));
    }
}

type Columns = (String, Vec<ColumnInfo>);

/// The feature matrix, its names, and the columns as they were.
fn features(
    mut table: Table<'_>,
    roles: &Roles,
) -> Result<(DataMatrix<f64>, Vec<String>, Columns)> {
    let mut infos = Vec::with_capacity(if table.has_lines {
        table.columns.len()
    } else {
        0
    });
    let mut starts = Vec::with_capacity(table.columns.len());
    let (mut d, mut bytes, mut expanded) = (0, 0, false);
    for (j, column) in table.columns.iter().enumerate() {
        let kind = roles.kind(j, column);
        let count = match kind {
            ColumnKind::Target | ColumnKind::Weight => 0,
            _ if column.dropped => 0,
            ColumnKind::Categorical => column.categories.as_ref().map_or(0, Vec::len),
            ColumnKind::Numeric => 1,
        };
        expanded |= kind == ColumnKind::Categorical;
        bytes += column.name.len().max(8) * count;
        starts.push((d, kind));
        if table.has_lines {
            infos.push(ColumnInfo {
                name: table.column_name(j),
                kind,
                values: column.categories.clone().unwrap_or_default(),
                missing: column.missing,
                features: d..d + count,
            });
        }
        d += count;
    }
    if bytes > NAME_BYTES && table.named {
        return Err(Error::new(
            ErrorKind::Resource,
            format!(
                "the names of the {d} features of `{}` would take {bytes} bytes",
                table.name
            ),
        ));
    }
    let names = if table.named || expanded {
        feature_names(&table, &starts)
    } else {
        numbered(&table, &starts)
    };
    let x = if expanded {
        indicators(&table, &starts, d)?
    } else {
        compact(&mut table, &starts);
        DataMatrix::dense(table.values, table.rows, d)?
    };
    Ok((x, names, (table.name.to_owned(), infos)))
}

fn is_feature(kind: ColumnKind) -> bool {
    matches!(kind, ColumnKind::Numeric | ColumnKind::Categorical)
}

/// `name` for numbers, `name=value` for text.
fn feature_names(table: &Table<'_>, starts: &[(usize, ColumnKind)]) -> Vec<String> {
    let mut names = Vec::new();
    for (j, (_, kind)) in starts.iter().enumerate() {
        let column = &table.columns[j];
        match (&column.categories, is_feature(*kind) && !column.dropped) {
            (_, false) => {}
            (None, true) => names.push(table.column_name(j)),
            (Some(values), true) => {
                let name = table.column_name(j);
                names.extend(values.iter().map(|v| format!("{name}={v}")));
            }
        }
    }
    names
}

/// Numbers of the columns that are features, as they are in the file.
fn numbered(table: &Table<'_>, starts: &[(usize, ColumnKind)]) -> Vec<String> {
    let kept = || (0..table.columns.len()).filter(|j| is_feature(starts[*j].1));
    if kept().count() == table.columns.len() {
        return numbered_names(table.columns.len());
    }
    if kept().count() > Dataset::NAMED {
        return Vec::new();
    }
    kept().map(|j| (j + 1).to_string()).collect()
}

/// Takes target and weight out of the values, in place.
fn compact(table: &mut Table<'_>, starts: &[(usize, ColumnKind)]) {
    if starts.iter().all(|(_, kind)| is_feature(*kind)) {
        return;
    }
    let width = starts.len();
    let mut to = 0;
    for at in 0..table.values.len() {
        if is_feature(starts[at % width].1) {
            table.values[to] = table.values[at];
            to += 1;
        }
    }
    table.values.truncate(to);
    // Room for a column of ones.
    table.values.shrink_to(to + table.rows);
}

/// The matrix with text columns as indicators: sparse unless more than a quarter is filled.
fn indicators(
    table: &Table<'_>,
    starts: &[(usize, ColumnKind)],
    d: usize,
) -> Result<DataMatrix<f64>> {
    let width = table.columns.len();
    let (mut row_starts, mut indices, mut values) = (vec![0u32], Vec::new(), Vec::new());
    for row in table.values.chunks_exact(width) {
        for (j, v) in row.iter().enumerate() {
            let (start, kind) = starts[j];
            let column = &table.columns[j];
            match kind {
                _ if column.dropped => {}
                ColumnKind::Numeric if *v != 0.0 => {
                    indices.push(start as u32);
                    values.push(*v);
                }
                ColumnKind::Categorical if v.is_nan() => {
                    // Only when reporting: the whole group is unknown.
                    for k in 0..column.categories.as_ref().map_or(0, Vec::len) {
                        indices.push((start + k) as u32);
                        values.push(f64::NAN);
                    }
                }
                ColumnKind::Categorical => {
                    indices.push((start + *v as usize) as u32);
                    values.push(1.0);
                }
                _ => {}
            }
        }
        row_starts.push(u32::try_from(values.len()).map_err(|_| {
            Error::new(
                ErrorKind::Resource,
                format!("`{}` has more than 2^32 - 1 values", table.name),
            )
        })?);
    }
    if !prefers_dense(table.rows, d, values.len()) {
        return dataset::sparse(row_starts, indices, values, table.rows, d);
    }
    let mut dense = vec![0.0; table.rows * d];
    for i in 0..table.rows {
        let row = row_starts[i] as usize..row_starts[i + 1] as usize;
        for (j, v) in indices[row.clone()].iter().zip(&values[row]) {
            dense[i * d + *j as usize] = *v;
        }
    }
    DataMatrix::dense(dense, table.rows, d)
}
