//! Relay's pages: the arguments of a connection and its `pageInfo`.

use async_graphql::{OutputType, SimpleObject, TypeName};
use schema::page::Page;
use std::borrow::Cow;

#[derive(SimpleObject)]
pub(crate) struct PageInfo {
    has_next_page: bool,
    has_previous_page: bool,
    start_cursor: Option<String>,
    end_cursor: Option<String>,
}

#[derive(SimpleObject)]
#[graphql(name_type)]
pub(crate) struct Connection<T: OutputType> {
    edges: Vec<Edge<T>>,
    nodes: Vec<T>,
    page_info: PageInfo,
}

#[derive(SimpleObject)]
#[graphql(name_type)]
pub(crate) struct Edge<T: OutputType> {
    cursor: String,
    node: T,
}

impl<T: OutputType> TypeName for Connection<T> {
    fn type_name() -> Cow<'static, str> {
        format!("{}Connection", T::type_name()).into()
    }
}

impl<T: OutputType> TypeName for Edge<T> {
    fn type_name() -> Cow<'static, str> {
        format!("{}Edge", T::type_name()).into()
    }
}

impl<T: OutputType + Clone> Connection<T> {
    /// A connection of these nodes, each with the cursor that `cursor` returns.
    pub(crate) fn new(
        nodes: Vec<T>,
        cursor: impl Fn(&T) -> String,
        has_next_page: bool,
        has_previous_page: bool,
    ) -> Self {
        let edges: Vec<_> =
            nodes.iter().map(|node| Edge { cursor: cursor(node), node: node.clone() }).collect();
        let (start_cursor, end_cursor) =
            (edges.first().map(|edge| edge.cursor.clone()), edges.last().map(|edge| edge.cursor.clone()));
        let page_info = PageInfo { has_next_page, has_previous_page, start_cursor, end_cursor };
        Self { edges, nodes, page_info }
    }
}

/// A connection's arguments as a message. A negative size becomes 0, which is out of bounds as well.
pub(crate) fn page(
    first: Option<i32>,
    after: Option<String>,
    last: Option<i32>,
    before: Option<String>,
) -> Page {
    let size = |size: Option<i32>| size.map(|size| u32::try_from(size).unwrap_or(0));
    Page { first: size(first), after, last: size(last), before }
}
