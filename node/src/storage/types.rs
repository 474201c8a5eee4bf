//! How ids, times and transaction numbers are bound to statements and read from rows.

use bytes::{BufMut, BytesMut};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use uuid::Uuid;

use crate::domain::ids::{AuditId, EventId, NotificationId, TemplateId};
use crate::domain::search::{BITS, WordBits};
use crate::domain::{ConversationId, InviteId, InviteSecret, JoinToken, LoginId, MessageId, Seq, Timestamp, UserId};

type BoxedError = Box<dyn std::error::Error + Sync + Send>;

/// PostgreSQL's 64-bit transaction number (`xid8`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Xid8(pub u64);

/// Microseconds from 1970 to 2000, where PostgreSQL's times begin.
const EPOCH_OFFSET_US: i64 = 946_684_800_000_000;

macro_rules! uuid_column {
    ($($name:ident),*) => {$(
        impl ToSql for $name {
            fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, BoxedError> {
                self.0.to_sql(ty, out)
            }
            fn accepts(ty: &Type) -> bool {
                <Uuid as ToSql>::accepts(ty)
            }
            to_sql_checked!();
        }
        impl<'a> FromSql<'a> for $name {
            fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, BoxedError> {
                Uuid::from_sql(ty, raw).map(Self)
            }
            fn accepts(ty: &Type) -> bool {
                <Uuid as FromSql>::accepts(ty)
            }
        }
    )*};
}
uuid_column!(
    UserId,
    LoginId,
    JoinToken,
    InviteId,
    InviteSecret,
    ConversationId,
    MessageId,
    NotificationId,
    TemplateId,
    EventId,
    AuditId
);

impl ToSql for Seq {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, BoxedError> {
        self.0.to_sql(ty, out)
    }
    fn accepts(ty: &Type) -> bool {
        <i64 as ToSql>::accepts(ty)
    }
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Seq {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, BoxedError> {
        i64::from_sql(ty, raw).map(Self)
    }
    fn accepts(ty: &Type) -> bool {
        <i64 as FromSql>::accepts(ty)
    }
}

impl ToSql for Timestamp {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, BoxedError> {
        out.put_i64(self.0.saturating_sub(EPOCH_OFFSET_US));
        Ok(IsNull::No)
    }
    fn accepts(ty: &Type) -> bool {
        *ty == Type::TIMESTAMPTZ
    }
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Timestamp {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, BoxedError> {
        let micros = i64::from_be_bytes(raw.try_into()?);
        Ok(Self(micros.saturating_add(EPOCH_OFFSET_US)))
    }
    fn accepts(ty: &Type) -> bool {
        *ty == Type::TIMESTAMPTZ
    }
}

impl ToSql for Xid8 {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, BoxedError> {
        out.put_u64(self.0);
        Ok(IsNull::No)
    }
    fn accepts(ty: &Type) -> bool {
        *ty == Type::XID8
    }
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Xid8 {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, BoxedError> {
        Ok(Self(u64::from_be_bytes(raw.try_into()?)))
    }
    fn accepts(ty: &Type) -> bool {
        *ty == Type::XID8
    }
}

/// `bit varying`: the number of bits, then the bits.
impl ToSql for WordBits {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, BoxedError> {
        out.put_i32(i32::try_from(BITS)?);
        out.put_slice(self.as_bytes());
        Ok(IsNull::No)
    }
    fn accepts(ty: &Type) -> bool {
        *ty == Type::VARBIT
    }
    to_sql_checked!();
}

impl<'a> FromSql<'a> for WordBits {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, BoxedError> {
        raw.get(4..).and_then(Self::from_bytes).ok_or_else(|| "a block of the search index has another length".into())
    }
    fn accepts(ty: &Type) -> bool {
        *ty == Type::VARBIT
    }
}
