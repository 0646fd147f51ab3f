//! Which documents are accepted.

use clap::Args;
use schema::limits::{PAGE_DEFAULT, PAGE_MAX};
use service_kit::config::ConfigErrors;

use super::given;
use crate::query::{
    DocumentLimits, DocumentSettings, LimitMode, ListSizes, PersistedSettings, TrustMode, TrustedDocuments,
};

#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Documents")]
pub struct DocumentArgs {
    /// How deep fields may nest
    #[arg(long, env = "MAX_QUERY_DEPTH", default_value = "20")]
    pub max_query_depth: String,
    /// What an operation may cost: its fields, those of a list once for each entry that first or last ask for
    #[arg(long, env = "MAX_QUERY_COMPLEXITY", default_value = "20000")]
    pub max_query_complexity: String,
    /// Fields with an alias
    #[arg(long, env = "MAX_QUERY_ALIASES", default_value = "50")]
    pub max_query_aliases: String,
    /// Fields of an operation's root
    #[arg(long, env = "MAX_QUERY_ROOT_FIELDS", default_value = "20")]
    pub max_query_root_fields: String,
    /// Directives of an operation
    #[arg(long, env = "MAX_QUERY_DIRECTIVES", default_value = "50")]
    pub max_query_directives: String,
    /// Lexical tokens of a document
    #[arg(long, env = "MAX_QUERY_TOKENS", default_value = "5000")]
    pub max_query_tokens: String,
    /// How deep fields of the schema may nest
    #[arg(long, env = "MAX_INTROSPECTION_DEPTH", default_value = "16")]
    pub max_introspection_depth: String,
    /// enforce: documents beyond these limits are refused; measure: they are executed, and logged
    #[arg(long, env = "QUERY_LIMITS", default_value = "enforce")]
    pub query_limits: String,
    /// Whether the schema may be asked for: on or off; by default off with AUTH_MODE=jwks
    #[arg(long, env = "INTROSPECTION")]
    pub introspection: Option<String>,
    /// The trusted documents: a manifest as Relay, graphql-codegen or Apollo writes it
    #[arg(long, env = "PERSISTED_DOCUMENTS_FILE", value_name = "FILE")]
    pub persisted_documents_file: Option<String>,
    /// enforce: only trusted documents are executed; log: others are executed as well, and logged
    #[arg(long, env = "PERSISTED_DOCUMENTS", default_value = "enforce")]
    pub persisted_documents: String,
    /// Whether clients may register documents by their hashes, unless trusted documents are enforced: on or off
    #[arg(long, env = "AUTOMATIC_PERSISTED_QUERIES", default_value = "on")]
    pub automatic_persisted_queries: String,
}

impl DocumentArgs {
    /// Returns the settings; adds what is wrong to `errors`. Unless set, `introspection` says whether the schema is shown.
    pub(super) fn check(&self, introspection: bool, errors: &mut ConfigErrors) -> DocumentSettings {
        let most = DocumentLimits::CEILINGS;
        let mut limit = |variable, text: &str, most| errors.number(variable, text, 1..=most);
        let limits = DocumentLimits {
            depth: limit("MAX_QUERY_DEPTH", &self.max_query_depth, most.depth),
            complexity: limit("MAX_QUERY_COMPLEXITY", &self.max_query_complexity, most.complexity),
            aliases: limit("MAX_QUERY_ALIASES", &self.max_query_aliases, most.aliases),
            root_fields: limit("MAX_QUERY_ROOT_FIELDS", &self.max_query_root_fields, most.root_fields),
            directives: limit("MAX_QUERY_DIRECTIVES", &self.max_query_directives, most.directives),
            tokens: limit("MAX_QUERY_TOKENS", &self.max_query_tokens, most.tokens),
            introspection_depth: limit(
                "MAX_INTROSPECTION_DEPTH",
                &self.max_introspection_depth,
                most.introspection_depth,
            ),
            mode: errors.choice(
                "QUERY_LIMITS",
                &self.query_limits,
                &[("enforce", LimitMode::Enforce), ("measure", LimitMode::Measure)],
            ),
            lists: ListSizes { default: PAGE_DEFAULT as usize, max: PAGE_MAX as usize },
        };
        let introspection = given(&self.introspection).map_or(introspection, |text| {
            errors.choice("INTROSPECTION", text, &[("on", true), ("off", false)])
        });
        DocumentSettings { limits, introspection }
    }

    /// Returns the documents that requests may name, those of the file read; adds what is wrong to `errors`.
    pub(super) fn persisted(&self, errors: &mut ConfigErrors) -> PersistedSettings {
        let modes = [("enforce", TrustMode::Enforce), ("log", TrustMode::Log)];
        let mode = errors.choice("PERSISTED_DOCUMENTS", &self.persisted_documents, &modes);
        let trusted = given(&self.persisted_documents_file).and_then(|file| {
            let read = TrustedDocuments::read(file.as_ref(), mode);
            read.map_err(|error| errors.add("PERSISTED_DOCUMENTS_FILE", format!("{file:?}: {error}"))).ok()
        });
        let on_or_off = [("on", true), ("off", false)];
        let automatic =
            errors.choice("AUTOMATIC_PERSISTED_QUERIES", &self.automatic_persisted_queries, &on_or_off);
        PersistedSettings { trusted, automatic }
    }
}
