use sea_orm::entity::prelude::*;
use store::StoreError;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "order_event_counter")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i32,
    pub last_position: i64,
    /// Events up to here are no longer kept.
    pub pruned_through: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The last position whose event is no longer kept; 0 where all are.
pub(crate) async fn pruned_through(connection: &impl ConnectionTrait) -> Result<i64, StoreError> {
    let counter = Entity::find().one(connection).await?;
    let counter = counter.ok_or_else(|| StoreError::Data("the event counter is missing".to_owned()))?;
    Ok(counter.pruned_through)
}
