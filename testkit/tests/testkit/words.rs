//! The workspace's vocabulary: sources name actors, and what has a standard term has no other name.

use std::path::{Path, PathBuf};

use crate::architecture::WORKSPACE;

/// Words that avoid naming the actor, in whatever case.
const PRONOUNS: [&str; 3] = ["whoever", "somebody", "nobody"];

/// Lines that hold such a word for another reason.
const EXCEPTIONS: [&str; 2] = [
    // A user of the operating system.
    r#"["postgres", "nobody"]"#,
    "neither of the users postgres and nobody exists",
];

/// Identifiers and module names that were given up, and what to use instead.
const REPLACED: &[(&str, &str)] = &[
    // gateway
    ("PeerOverrun", "SlowClient"),
    ("Seats", "SubscriptionRegistry"),
    ("NoSeat", "SubscribeError"),
    ("Follower", "SubscriptionStream"),
    ("hurried", "with_timeout"),
    ("Patience", "Timeout"),
    ("Immediately", "NoDelay"),
    ("read_fault", "query_error"),
    ("change_fault", "mutation_error"),
    ("or_oneself", "default_to_caller"),
    ("to_its_end", "run"),
    ("tell_updates", "run_subscription"),
    ("keep_keys_fresh", "refresh_jwks"),
    ("SignedIn", "Viewer"),
    ("GraphqlResult", "ExecutionResult"),
    // bus
    ("Requester", "BusRpcClient"),
    ("Responder", "RpcServer"),
    ("HandleRequest", "RequestHandler"),
    ("HandleWork", "MessageHandler"),
    ("bury", "dead_letter"),
    ("revived", "reset_for_replay"),
    ("Browsed", "PeekedMessage"),
    ("LiveEvents", "EventSubscription"),
    ("mod pulse", "mod heartbeat"),
    ("Pulse", "Heartbeat"),
    // embedded-broker
    ("Handout", "Delivery"),
    ("outlet", "delivery_sender"),
    ("forgo", "release_slot"),
    ("leftovers", "deferred_drops"),
    ("GIVEN_UP", "CLOSED"),
    // service-kit
    ("Ending", "ExitStatus"),
    ("Strike", "Trigger"),
    ("Blow", "Signal"),
    // store
    ("Unpublished", "OutboxSource"),
    ("lock_name", "advisory_lock"),
    // order-service
    ("FirstAnswer", "StoredResponse"),
    ("find_out", "run_checks"),
    ("Hurdle", "Blocker"),
    ("AlreadySo", "NoOp"),
    // inventory-service
    ("Amiss", "Inconsistent"),
    ("amiss", "inconsistent"),
    ("Mended", "Repaired"),
    ("waybill_stock_amiss_total", "waybill_stock_inconsistent_total"),
    // schema
    ("Placed", "OrderCreated"),
    ("text_fault", "validate_text"),
    ("RefusalCode", "DomainErrorCode"),
    // waybill
    ("mod desk", "mod admin"),
    ("crate::desk", "crate::admin"),
    ("DeskConfig", "AdminConfig"),
    ("Errand", "DeadLetterCommand"),
    ("Whereabouts", "AdminAddress"),
    // tests
    ("TestEdge", "TestGateway"),
    ("Plant", "Cluster"),
    ("Detour", "ReorderingProxy"),
    ("Repeater", "DuplicatingProxy"),
    ("Habits", "WorkloadConfig"),
    ("smuggler", "raw_publisher"),
    ("struct Shop", "struct Gateway or Services"),
];

#[test]
fn sources_name_actors_and_use_the_standard_terms() {
    let mut violations = Vec::new();
    for package in WORKSPACE.workspace_packages() {
        for file in rust_files(package.manifest_path.parent().unwrap().as_std_path()) {
            let text = std::fs::read_to_string(&file).unwrap();
            for (number, line) in text.lines().enumerate() {
                for hint in violations_of(line) {
                    violations.push(format!("{}:{}: {hint}", file.display(), number + 1));
                }
            }
        }
    }
    assert!(violations.is_empty(), "{} violations:\n{}", violations.len(), violations.join("\n"));
}

#[test]
fn words_are_found_whole_and_in_each_part_of_a_line() {
    let found = |line: &str| violations_of(line).len();
    assert_eq!(found("// Nobody consumes it, and somebody else may."), 2);
    assert_eq!(found("mod desk;"), 1);
    assert_eq!(found("let ran = crate::desk::serve(Errand::List);"), 2);
    assert_eq!(found("the desktop of a NOBODY_KNOWS"), 0);
    assert_eq!(found(r#"let users = ["postgres", "nobody"];"#), 0);
}

/// What is wrong with a line, and what to write instead.
fn violations_of(line: &str) -> Vec<String> {
    if EXCEPTIONS.iter().any(|exception| line.contains(exception)) {
        return Vec::new();
    }
    let words = line.split(|character: char| !is_word(character));
    let pronouns = words.filter(|word| PRONOUNS.iter().any(|pronoun| word.eq_ignore_ascii_case(pronoun)));
    let pronouns = pronouns.map(|word| format!("{word}: name the actor, such as the client or the consumer"));
    let replaced = REPLACED.iter().filter(|(old, _)| holds_word(line, old));
    pronouns.chain(replaced.map(|(old, instead)| format!("{old}: use {instead}"))).collect()
}

fn holds_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(start, _)| {
        !line[..start].ends_with(is_word) && !line[start + word.len()..].starts_with(is_word)
    })
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// The package's sources without this file.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && !path.ends_with("testkit/words.rs")
        {
            found.push(path);
        }
    }
    found
}
