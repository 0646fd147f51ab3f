//! What a table's entity is made of: sea-orm's prelude, and the one set of relations that all tables have.

pub use sea_orm::entity::prelude::*;

/// No relations: services join by statements of their own.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}
