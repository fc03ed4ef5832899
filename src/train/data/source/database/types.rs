//! PostgreSQL's types as kinds, and the expressions that bring each into a form that needs no decoding.

use tokio_postgres::types::{Kind as Family, Type};

use crate::data::kind::Kind;

/// What a column holds; `None` for arrays, bytes, intervals and the like.
pub(crate) fn kind(stored: &Type) -> Option<Kind> {
    Some(match *stored {
        Type::BOOL => Kind::Boolean,
        Type::INT2 | Type::INT4 | Type::INT8 | Type::OID => Kind::Integer,
        Type::FLOAT4 | Type::FLOAT8 | Type::NUMERIC => Kind::Number,
        Type::DATE | Type::TIMESTAMP | Type::TIMESTAMPTZ => Kind::Time,
        Type::TEXT
        | Type::VARCHAR
        | Type::BPCHAR
        | Type::NAME
        | Type::CHAR
        | Type::UUID
        | Type::JSON
        | Type::JSONB
        | Type::INET
        | Type::UNKNOWN => Kind::Text,
        _ => return domain(stored),
    })
}

fn domain(stored: &Type) -> Option<Kind> {
    match stored.kind() {
        Family::Enum(_) => Some(Kind::Text),
        Family::Domain(inner) => kind(inner),
        // `citext` and other extensions' texts.
        Family::Simple if stored.name() == "citext" => Some(Kind::Text),
        _ => None,
    }
}

/// A column as a value of its kind.
pub(crate) fn expression(column: &str, kind: Kind) -> String {
    match kind {
        Kind::Boolean => format!("{column}::boolean"),
        Kind::Integer => format!("{column}::int8"),
        Kind::Number => format!("{column}::float8"),
        Kind::Text => format!("{column}::text"),
        // `infinity` is no instant.
        Kind::Time => {
            format!("CASE WHEN isfinite({column}) THEN floor(extract(epoch FROM {column}) * 1000)::int8 END")
        }
    }
}
