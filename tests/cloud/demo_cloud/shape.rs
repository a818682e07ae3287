//! The shape of a reply, field by field: names, types, date formats, and which fields are always
//! present.
//!
//! A table must be complete both ways: a field that it lacks is an error of the reply, and a field
//! that no reply contained is an error of the table.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use serde_json::Value;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    name: &'static str,
    kind: Kind,
    /// Whether it is always present.
    always: bool,
    /// Whether it can be null.
    or_null: bool,
}

/// The type of a value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Text,
    /// Text that is not empty.
    Name,
    /// One of these texts.
    OneOf(&'static [&'static str]),
    Count,
    /// An unsigned integer, as a number or as text.
    CountOrText,
    /// An unsigned integer as text.
    CountAsText,
    Flag,
    /// A day such as `2026-10-06`.
    Day,
    /// A time of day such as `07:00:00`.
    TimeOfDay,
    /// A time in UTC such as `2026-10-06T07:00:11Z`.
    Moment,
    /// A UTC time or empty text.
    MomentOrEmpty,
    /// An absolute URL.
    Link,
    /// An absolute URL or empty text.
    LinkOrEmpty,
    ListOf(&'static [Field]),
    Texts,
    Object(&'static [Field]),
    /// An object, or a list of more than one.
    OneOrMore(&'static [Field]),
}

pub(crate) const fn always(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, always: true, or_null: false }
}

/// A field that some replies omit.
pub(crate) const fn may(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, always: false, or_null: false }
}

impl Field {
    pub(crate) const fn or_null(mut self) -> Self {
        self.or_null = true;
        self
    }
}

/// Fields seen so far, and errors.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    /// Fields that replies contained and fields that some omitted, by path.
    seen: BTreeSet<String>,
    missing: BTreeSet<String>,
    pub(crate) wrong: Vec<String>,
}

impl Checked {
    /// Checks one reply.
    pub(crate) fn reply(&mut self, value: &Value, fields: &'static [Field]) {
        self.object(value, fields, "");
    }

    /// Fails unless every reply was right, and every field of the table was present and, if
    /// optional, absent once.
    pub(crate) fn assert_whole(mut self, fields: &'static [Field]) {
        self.table(fields, "");
        assert!(self.wrong.is_empty(), "{:#?}", self.wrong);
    }

    fn table(&mut self, fields: &'static [Field], at: &str) {
        for field in fields {
            let at = format!("{at}/{}", field.name);
            if !self.seen.contains(&at) {
                self.wrong.push(format!("{at}: in no reply"));
            } else if !field.always && !self.missing.contains(&at) {
                self.wrong.push(format!("{at}: in every reply"));
            }
            if let Kind::ListOf(inner) | Kind::Object(inner) | Kind::OneOrMore(inner) = field.kind {
                self.table(inner, &at);
            }
        }
    }

    fn object(&mut self, value: &Value, fields: &'static [Field], at: &str) {
        let Some(object) = value.as_object() else {
            return self.wrong.push(format!("{at}: no object: {value}"));
        };
        for name in
            object.keys().filter(|name| fields.iter().all(|field| field.name != name.as_str()))
        {
            self.wrong.push(format!("{at}/{name}: no such field"));
        }
        for field in fields {
            let at = format!("{at}/{}", field.name);
            match object.get(field.name) {
                None if field.always => self.wrong.push(format!("{at}: missing")),
                None => {
                    self.missing.insert(at);
                }
                Some(Value::Null) if field.or_null => {}
                Some(value) => {
                    self.seen.insert(at.clone());
                    self.value(value, field.kind, &at);
                }
            }
        }
    }

    fn value(&mut self, value: &Value, kind: Kind, at: &str) {
        let text = value.as_str();
        let is_number =
            |text: &str| text.parse::<u64>().is_ok_and(|number| number.to_string() == text);
        let is_moment = |text: &str| text.ends_with('Z') && text.parse::<Timestamp>().is_ok();
        let is_link = |text: &str| url::Url::parse(text).is_ok_and(|link| link.has_host());
        let fits = match kind {
            Kind::Text => text.is_some(),
            Kind::Name => text.is_some_and(|text| !text.is_empty()),
            Kind::OneOf(words) => text.is_some_and(|text| words.contains(&text)),
            Kind::Count => value.is_u64(),
            Kind::CountOrText => value.is_u64() || text.is_some_and(is_number),
            Kind::CountAsText => text.is_some_and(is_number),
            Kind::Flag => value.is_boolean(),
            Kind::Day => text.is_some_and(|text| text.len() == 10 && text.parse::<Date>().is_ok()),
            Kind::TimeOfDay => {
                text.is_some_and(|text| text.len() == 8 && text.parse::<Time>().is_ok())
            }
            Kind::Moment => text.is_some_and(is_moment),
            Kind::MomentOrEmpty => text.is_some_and(|text| text.is_empty() || is_moment(text)),
            Kind::Link => text.is_some_and(is_link),
            Kind::LinkOrEmpty => text.is_some_and(|text| text.is_empty() || is_link(text)),
            Kind::Texts => value.as_array().is_some_and(|items| items.iter().all(Value::is_string)),
            Kind::Object(fields) => return self.object(value, fields, at),
            Kind::ListOf(fields) => match value.as_array() {
                Some(items) => return items.iter().for_each(|item| self.object(item, fields, at)),
                None => false,
            },
            Kind::OneOrMore(fields) => match value.as_array() {
                Some(items) if items.len() > 1 => {
                    return items.iter().for_each(|item| self.object(item, fields, at));
                }
                Some(_) => false,
                None => return self.object(value, fields, at),
            },
        };
        if !fits {
            self.wrong.push(format!("{at}: {value} is not {kind:?}"));
        }
    }
}
