//! The fields of a configuration as a table, for generated documentation.

use super::Config;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Dotted name.
    pub name: String,
    /// Its type in plain words, such as `number`, `integer or none`, `one of: a, b`.
    pub kind: String,
    /// The default as JSON; `none` where nothing is set.
    pub default: String,
    /// The doc comment.
    pub doc: String,
}

/// All settings of a configuration, nested ones with dotted names, in the order of declaration where the schema keeps it.
pub fn field_table<C: Config>() -> Vec<Field> {
    let defaults = serde_json::to_value(C::default()).unwrap_or_default();
    let mut fields = Vec::new();
    collect(&schema::<C>(), &defaults, "", &mut fields);
    fields
}

fn collect(schema: &Value, defaults: &Value, prefix: &str, out: &mut Vec<Field>) {
    for (name, field) in properties(schema).into_iter().flatten() {
        let default = defaults.get(name).unwrap_or(&Value::Null);
        let name = format!("{prefix}{name}");
        if properties(field).is_some() {
            collect(field, default, &format!("{name}."), out);
            continue;
        }
        let doc = field.get("description").and_then(Value::as_str);
        out.push(Field {
            name,
            kind: kind(field),
            default: match default {
                Value::Null => "none".into(),
                Value::String(s) => s.clone(),
                other => other.to_string(),
            },
            doc: doc.unwrap_or_default().to_owned(),
        });
    }
}

/// The schema of a configuration without references.
pub(super) fn schema<C: Config>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|s| s.inline_subschemas = true);
    let schema = settings.into_generator().into_root_schema_for::<C>();
    schema.to_value()
}

/// The named settings below a schema, if it is a nested struct.
pub(super) fn properties(schema: &Value) -> Option<&Map<String, Value>> {
    schema.get("properties").and_then(Value::as_object)
}

fn kind(schema: &Value) -> String {
    for key in ["oneOf", "anyOf"] {
        if let Some(parts) = schema.get(key).and_then(Value::as_array) {
            return alternatives(parts);
        }
    }
    if let Some(choices) = choices(schema) {
        return one_of(choices.into_iter());
    }
    match schema.get("type") {
        Some(Value::String(t)) => named(t, schema),
        Some(Value::Array(types)) => {
            let names = types.iter().filter_map(Value::as_str);
            let all: Vec<String> = names.map(|t| named(t, schema)).collect();
            all.join(" or ")
        }
        _ => "any value".into(),
    }
}

fn named(kind: &str, schema: &Value) -> String {
    match (kind, schema.get("items")) {
        ("null", _) => "none".into(),
        ("object", _) => "table".into(),
        ("array", Some(items)) => format!("list of {}", self::kind(items)),
        _ => kind.to_owned(),
    }
}

/// The values of a schema that lists them; documented variants come one by one, the others together.
fn choices(schema: &Value) -> Option<Vec<String>> {
    if let Some(choice) = schema.get("const") {
        return Some(vec![text(choice)]);
    }
    let choices = schema.get("enum")?.as_array()?;
    Some(choices.iter().map(text).collect())
}

fn alternatives(parts: &[Value]) -> String {
    let choices: Option<Vec<Vec<String>>> = parts.iter().map(choices).collect();
    if let Some(choices) = choices {
        return one_of(choices.into_iter().flatten());
    }
    let kinds: Vec<String> = parts.iter().map(kind).collect();
    kinds.join(" or ")
}

fn one_of(choices: impl Iterator<Item = String>) -> String {
    let all: Vec<String> = choices.collect();
    format!("one of: {}", all.join(", "))
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}
