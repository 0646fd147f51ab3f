//! The validation rules of the specification (section 5), rule by rule, over HTTP and through a socket.

use serde_json::json;

use crate::kit::{ApiGateway, Transport, through_socket};

struct Rule {
    name: &'static str,
    valid: &'static [&'static str],
    invalid: &'static [&'static str],
}

const RULES: &[Rule] = &[
    Rule {
        name: "executable definitions",
        valid: &["{ me { id } }", "query Q { me { ...F } } fragment F on Customer { id }"],
        invalid: &[
            "{ me { id } } type Cow { name: String }",
            "{ me { id } } extend type Order { color: String }",
            "{ me { id } } schema { query: Query }",
            "{ me { id } } directive @dir on FIELD",
            "type Query { a: Int }",
        ],
    },
    Rule {
        name: "unique operation names",
        valid: &[
            "query A { me { id } } query B { me { id } }",
            "query A { me { id } } mutation B { deleteOrder(input: {id: 1}) { deletedOrderId } }",
            "query A { ...A } fragment A on Query { me { id } }",
        ],
        invalid: &[
            "query A { me { id } } query A { me { name } }",
            "query A { me { id } } mutation A { deleteOrder(input: {id: 1}) { deletedOrderId } }",
            "query A { me { id } } subscription A { orderUpdated(after: \"x\") { kind } }",
        ],
    },
    Rule {
        name: "lone anonymous operation",
        valid: &["{ me { id } }", "{ me { ...F } } fragment F on Customer { id }"],
        invalid: &[
            "{ me { id } } { me { name } }",
            "{ me { id } } query A { me { name } }",
            "query A { me { id } } { me { name } }",
            "{ me { id } } subscription S { orderUpdated(after: \"x\") { kind } }",
        ],
    },
    Rule {
        name: "single root field of subscriptions",
        valid: &[
            "subscription { orderUpdated(after: \"x\") { kind } }",
            "subscription S { u: orderUpdated(after: \"x\") { kind } }",
            "subscription { ...F } fragment F on Subscription { orderUpdated(after: \"x\") { kind } }",
            "subscription { ... on Subscription { ... { orderUpdated(after: \"x\") { kind } } } }",
            "subscription { orderUpdated(after: \"x\") { kind } orderUpdated(after: \"x\") { version } }",
            "subscription { ...A ...B } fragment A on Subscription { orderUpdated(after: \"x\") { kind } }
             fragment B on Subscription { orderUpdated(after: \"x\") { version } }",
        ],
        invalid: &[
            "subscription { orderUpdated(after: \"x\") { kind } u: orderUpdated(after: \"x\") { kind } }",
            "subscription { ...A } fragment A on Subscription { orderUpdated(after: \"x\") { kind } ...B }
             fragment B on Subscription { u: orderUpdated(after: \"x\") { kind } }",
            "subscription { orderUpdated(after: \"x\") { kind } ... { u: orderUpdated(after: \"x\") { kind } } }",
            "subscription { __typename }",
            "subscription { t: __typename }",
            "subscription { orderUpdated(after: \"x\") { kind } __typename }",
            "subscription { ...F } fragment F on Subscription { __typename }",
            "subscription { orderUpdated(after: \"x\") @skip(if: false) { kind } }",
            "subscription { orderUpdated(after: \"x\") @include(if: true) { kind } }",
            "subscription($b: Boolean!) { orderUpdated(after: \"x\") @include(if: $b) { kind } }",
            "subscription { ...F @skip(if: false) } fragment F on Subscription { orderUpdated { kind } }",
            "subscription { ... @include(if: true) { orderUpdated(after: \"x\") { kind } } }",
        ],
    },
    Rule {
        name: "known type names",
        valid: &[
            "query($a: String, $b: [OrderStatus!]) { products(search: $a) { nodes { id } } o: orders(statuses: $b) { nodes { id } }
             x: product(id: \"1\") { ...F } } fragment F on Product { id ... on Product { name } }"
        ],
        invalid: &[
            "query($a: Unknown) { me { id } }",
            "query($a: [Unknwon!]!) { me { id } }",
            "{ me { ... on Pet { id } } }",
            "{ me { ...F } } fragment F on Pet { id }",
        ],
    },
    Rule {
        name: "fragments on composite types",
        valid: &["{ me { ... on Customer { id } } }", "{ me { ... { id } } }", "{ me { ... @include(if: true) { id } } }"],
        invalid: &[
            "{ me { ...F } } fragment F on OrderStatus { id }",
            "{ me { ...F } } fragment F on CreateOrderInput { id }",
            "{ me { ...F } } fragment F on Boolean { id }",
            "{ me { ... on String { id } } }",
        ],
    },
    Rule {
        name: "variables are input types",
        valid: &[
            "query($a: String, $s: [OrderStatus!]) { products(search: $a) { nodes { id } } orders(statuses: $s) { nodes { id } } }",
        ],
        invalid: &[
            "query($a: Customer) { products(search: $a) { nodes { id } } }",
            "query($a: [[Order!]]!) { products(search: $a) { nodes { id } } }",
            "query($a: OrderConnection) { me { id @skip(if: $a) } }",
        ],
    },
    Rule {
        name: "leaf field selections",
        valid: &["{ me { id name } }", "{ orders { nodes { status } } }"],
        invalid: &[
            "{ me }",
            "{ orders { nodes } }",
            "{ orders(first: 1) }",
            "{ me { id { x } } }",
            "{ me { id { } } }",
            "{ orders { nodes { status { x } } } }",
            "{ product(id: 1) { id @include(if: true) { x } } }",
            "mutation { deleteOrder(input: {id: 1}) }",
        ],
    },
    Rule {
        name: "fields on correct type",
        valid: &[
            "{ __typename me { __typename id } }",
            "{ tn: __typename other: me { otherId: id } }",
            "{ __schema { queryType { name } } __type(name: \"Order\") { name } }",
            "mutation { __typename }",
        ],
        invalid: &[
            "{ unknown }",
            "{ me { unknown } }",
            "{ me { alias: unknown } }",
            "{ me { ... on Customer { unknown } } }",
            "{ me { ...F } } fragment F on Customer { unknown }",
            "{ me { id: unknown { deeper } } }",
            "{ me { orders { nodes { lineItems { unknown } } } } }",
            "{ me { __schema { queryType { name } } } }",
            "{ __unknown }",
            "mutation { __schema { queryType { name } } }",
            "mutation { me { id } }",
            "subscription { unknown }",
        ],
    },
    Rule {
        name: "unique fragment names",
        valid: &["{ ...A ...B } fragment A on Query { me { id } } fragment B on Query { me { name } }"],
        invalid: &[
            "{ ...A } fragment A on Query { me { id } } fragment A on Query { me { name } }",
            "{ me { ...A } } fragment A on Customer { id } fragment A on Customer { id }",
        ],
    },
    Rule {
        name: "known fragment names",
        valid: &["{ me { ...A ... on Customer { ...B } } } fragment A on Customer { ...B } fragment B on Customer { id }"],
        invalid: &[
            "{ ...Unknown }",
            "{ me { ... on Customer { ...Unknown } } }",
            "{ me { ...A } } fragment A on Customer { id ...Unknown }",
        ],
    },
    Rule {
        name: "no unused fragments",
        valid: &["query A { me { ...A } } query B { me { ...B } } fragment A on Customer { id } fragment B on Customer { id }"],
        invalid: &[
            "{ me { id } } fragment A on Customer { id }",
            "fragment A on Customer { id }",
            "{ me { id } } fragment A on Customer { ...B } fragment B on Customer { ...A }",
        ],
    },
    Rule {
        name: "possible fragment spreads",
        valid: &["{ me { ...A } } fragment A on Customer { id }", "{ ... on Query { me { id } } }"],
        invalid: &[
            "{ me { ...A } } fragment A on Order { id }",
            "{ me { ... on Order { id } } }",
            "{ ...A } fragment A on Mutation { __typename }",
            "mutation { ... on Query { me { id } } }",
        ],
    },
    Rule {
        name: "no fragment cycles",
        valid: &[
            "{ ...A } fragment A on Query { ...B } fragment B on Query { me { id } }",
            "{ ...A ...A } fragment A on Query { ...B ...B } fragment B on Query { me { id } }",
        ],
        invalid: &[
            "{ ...A } fragment A on Query { ...A }",
            "{ me { ...A } } fragment A on Customer { orders { nodes { customer { ...A } } } }",
            "{ ...A } fragment A on Query { ... on Query { ...A } }",
            "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }",
            "{ ...A } fragment A on Query { ...B } fragment B on Query { ...C } fragment C on Query { ...A ...B }",
        ],
    },
    Rule {
        name: "unique variable names",
        valid: &[
            "query A($x: ID!) { product(id: $x) { id } } query B($x: String) { products(search: $x) { nodes { id } } }",
        ],
        invalid: &[
            "query($x: ID!, $x: ID!) { product(id: $x) { id } }",
            "query($x: ID!, $x: String!) { product(id: $x) { id } }",
        ],
    },
    Rule {
        name: "no undefined variables",
        valid: &[
            "query($x: ID!) { product(id: $x) { id } }",
            "query($x: ID!) { ...A } fragment A on Query { ...B } fragment B on Query { product(id: $x) { id } }",
            "query A($x: ID!) { ...F } query B($x: ID!) { ...F } fragment F on Query { product(id: $x) { id } }",
        ],
        invalid: &[
            "{ product(id: $x) { id } }",
            "query($y: ID!) { product(id: $x) { id } order(id: $y) { id } }",
            "query($y: ID!) { ...A order(id: $y) { id } } fragment A on Query { product(id: $x) { id } }",
            "query A($x: ID!) { ...F } query B { ...F } fragment F on Query { product(id: $x) { id } }",
            "{ me { id @include(if: $x) } }",
            "{ orders(statuses: [$x]) { nodes { id } } }",
            "mutation { deleteOrder(input: {id: $x}) { deletedOrderId } }",
            "query($x: ID = $y) { order(id: \"1\") { id } customer(id: $x) { id } }",
        ],
    },
    Rule {
        name: "no unused variables",
        valid: &[
            "query($x: ID!) { product(id: $x) { id } }",
            "query($x: ID!) { ...A } fragment A on Query { product(id: $x) { id } }",
            "query($x: [OrderStatus!]!) { orders(statuses: $x) { nodes { id } } }",
            "query($x: OrderStatus!) { orders(statuses: [$x]) { nodes { id } } }",
            "query($b: Boolean!) { ...A @include(if: $b) } fragment A on Query { me { id } }",
        ],
        invalid: &[
            "query($x: ID) { me { id } }",
            "query($x: ID!, $y: ID) { product(id: $x) { id } }",
            "query A($x: ID!) { ...F } query B($x: ID!, $y: ID) { ...F } fragment F on Query { product(id: $x) { id } }",
        ],
    },
    Rule {
        name: "known directives",
        valid: &[
            "{ me @include(if: true) { id @skip(if: false) } }",
            "{ ... @include(if: true) { me { id } } ...A @skip(if: false) } fragment A on Query { me { id } }",
        ],
        invalid: &[
            "{ me @unknown { id } }",
            "{ me { id @unknown(if: true) } }",
            "query @include(if: true) { me { id } }",
            "query Q @skip(if: false) { me { id } }",
            "mutation @include(if: true) { __typename }",
            "subscription @include(if: true) { orderUpdated(after: \"x\") { kind } }",
            "query($x: ID! @include(if: true)) { product(id: $x) { id } }",
            "{ ...A } fragment A on Query @include(if: true) { me { id } }",
            "{ me { id @deprecated } }",
            "{ me { id @specifiedBy(url: \"x\") } }",
            "{ ...A @defer } fragment A on Query { me { id } }",
            "{ orders { nodes @stream(initialCount: 1) { id } } }",
        ],
    },
    Rule {
        name: "unique directives per location",
        valid: &[
            "{ me @include(if: true) @skip(if: false) { id @include(if: true) } }",
            "{ me @include(if: true) { id } m: me @include(if: true) { id } }",
        ],
        invalid: &[
            "{ me @include(if: true) @include(if: true) { id } }",
            "{ ...A @skip(if: false) @skip(if: false) } fragment A on Query { me { id } }",
            "{ ... @skip(if: false) @include(if: true) @skip(if: true) { me { id } } }",
        ],
    },
    Rule {
        name: "known argument names",
        valid: &["{ orders(first: 1, statuses: SHIPPED) { nodes { id } } }", "{ me @skip(if: false) { id } }"],
        invalid: &[
            "{ me(id: 1) { id } }",
            "{ orders(fist: 1) { nodes { id } } }",
            "{ me { id @skip(if: false, unless: true) } }",
            "{ me { id(format: SHORT) } }",
            "{ __type(nam: \"Order\", name: \"Order\") { name } }",
        ],
    },
    Rule {
        name: "unique argument names",
        valid: &["{ a: product(id: 1) { id } b: product(id: 1) { id } }"],
        invalid: &[
            "{ product(id: 1, id: 1) { id } }",
            "{ orders(first: 1, last: null, first: 2) { nodes { id } } }",
            "{ me @skip(if: false, if: false) { id } }",
        ],
    },
    Rule {
        name: "values of correct type",
        valid: &[
            "{ orders(first: 2) { nodes { id } } }",
            "{ orders(first: -0) { nodes { id } } }",
            "{ orders(first: -2147483648) { nodes { id } } }",
            "{ orders(first: 2147483647) { nodes { id } } }",
            "{ orders(first: null, statuses: null) { nodes { id } } }",
            "{ product(id: \"PROD01\") { id } }",
            "{ product(id: 1) { id } }",
            "{ product(id: 123456789012345678901234567890) { id } }",
            "{ products(search: \"stuff\") { nodes { id } } }",
            "{ products(search: \"\"\"stuff\"\"\") { nodes { id } } }",
            "{ orders(statuses: SHIPPED) { nodes { id } } }",
            "{ orders(statuses: [SHIPPED, PENDING]) { nodes { id } } }",
            "{ orders(statuses: []) { nodes { id } } }",
            "mutation { createOrder(input: {items: {productId: 1, quantity: 1}}) { order { id } } }",
            "mutation { createOrder(input: {items: [], shippingAddress: null}, wait: false) { order { id } } }",
            "query($a: [OrderStatus!] = SHIPPED) { orders(statuses: $a) { nodes { id } } }",
            "query($a: Int = 1, $b: ID = 7, $c: String = \"x\") { orders(first: $a, customerId: $b, after: $c) { nodes { id } } }",
        ],
        invalid: &[
            "{ orders(first: \"2\") { nodes { id } } }",
            "{ orders(first: 2147483648) { nodes { id } } }",
            "{ orders(first: -2147483649) { nodes { id } } }",
            "{ orders(first: 829384293849283498239482938) { nodes { id } } }",
            "{ orders(first: 2.0) { nodes { id } } }",
            "{ orders(first: 2.5) { nodes { id } } }",
            "{ orders(first: 1e2) { nodes { id } } }",
            "{ orders(first: TWO) { nodes { id } } }",
            "{ orders(first: true) { nodes { id } } }",
            "{ orders(first: [2]) { nodes { id } } }",
            "{ orders(first: {a: 2}) { nodes { id } } }",
            "{ product(id: 1.0) { id } }",
            "{ product(id: true) { id } }",
            "{ product(id: SOMETHING) { id } }",
            "{ product(id: null) { id } }",
            "{ product(id: [1]) { id } }",
            "{ products(search: 1) { nodes { id } } }",
            "{ products(search: 1.5) { nodes { id } } }",
            "{ products(search: true) { nodes { id } } }",
            "{ products(search: BAR) { nodes { id } } }",
            "{ me { id @skip(if: \"true\") } }",
            "{ me { id @skip(if: 1) } }",
            "{ me { id @skip(if: TRUE) } }",
            "{ me { id @include(if: null) } }",
            "{ orders(statuses: \"SHIPPED\") { nodes { id } } }",
            "{ orders(statuses: [\"SHIPPED\"]) { nodes { id } } }",
            "{ orders(statuses: 1) { nodes { id } } }",
            "{ orders(statuses: true) { nodes { id } } }",
            "{ orders(statuses: UNKNOWN) { nodes { id } } }",
            "{ orders(statuses: shipped) { nodes { id } } }",
            "{ orders(statuses: [SHIPPED, null]) { nodes { id } } }",
            "{ orders(statuses: [[SHIPPED]]) { nodes { id } } }",
            "mutation { createOrder(input: null) { order { id } } }",
            "mutation { createOrder(input: []) { order { id } } }",
            "mutation { createOrder(input: \"x\") { order { id } } }",
            "mutation { createOrder(input: {}) { order { id } } }",
            "mutation { createOrder(input: {items: null}) { order { id } } }",
            "mutation { createOrder(input: {items: [null]}) { order { id } } }",
            "mutation { createOrder(input: {items: [{productId: 1}]}) { order { id } } }",
            "mutation { createOrder(input: {items: [{productId: 1, quantity: null}]}) { order { id } } }",
            "mutation { createOrder(input: {items: [{productId: 1, quantity: \"1\"}]}) { order { id } } }",
            "mutation { createOrder(input: {items: [{productId: 1, quantity: 1, colour: \"red\"}]}) { order { id } } }",
            "mutation { createOrder(input: {items: []}, wait: null) { order { id } } }",
            "mutation { createOrder(input: {items: []}, wait: 1) { order { id } } }",
            "query($a: Int = \"one\") { orders(first: $a) { nodes { id } } }",
            "query($a: Int! = null) { orders(first: $a) { nodes { id } } }",
            "query($a: [OrderStatus!] = [null]) { orders(statuses: $a) { nodes { id } } }",
            "query($a: OrderStatus! = \"SHIPPED\") { orders(statuses: [$a]) { nodes { id } } }",
            "mutation($a: OrderItemInput! = {productId: 1}) { createOrder(input: {items: [$a]}) { order { id } } }",
        ],
    },
    Rule {
        name: "provided required arguments",
        valid: &["{ product(id: 1) { id } }", "mutation { createOrder(input: {items: []}) { order { id } } }"],
        invalid: &[
            "{ product { id } }",
            "{ __type { name } }",
            "mutation { createOrder { order { id } } }",
            "mutation { createOrder(wait: true) { order { id } } }",
            "{ me { id @include } }",
            "{ me @skip { id } }",
        ],
    },
    Rule {
        name: "variables in allowed position",
        valid: &[
            "query($a: ID!) { product(id: $a) { id } orders(customerId: $a) { nodes { id } } }",
            "query($a: ID = \"1\") { product(id: $a) { id } }",
            "query($b: Boolean! = false) { me { id @skip(if: $b) } }",
            "query($b: Boolean = false) { me { id @skip(if: $b) } }",
            "query($a: [OrderStatus!]!) { orders(statuses: $a) { nodes { id } } }",
            "query($a: OrderStatus!) { orders(statuses: [$a]) { nodes { id } } }",
            "query($a: OrderStatus = SHIPPED) { orders(statuses: [$a]) { nodes { id } } }",
            "mutation($w: Boolean) { createOrder(input: {items: []}, wait: $w) { order { id } } }",
            "mutation($q: Int = 1) { createOrder(input: {items: {productId: 1, quantity: $q}}) { order { id } } }",
            "query($n: String = \"Order\") { __type(name: $n) { fields(includeDeprecated: true) { name } } }",
            "query($d: Boolean) { __type(name: \"Order\") { fields(includeDeprecated: $d) { name } } }",
        ],
        invalid: &[
            "query($a: ID) { product(id: $a) { id } }",
            "query($a: ID = null) { product(id: $a) { id } }",
            "query($a: String!) { product(id: $a) { id } }",
            "query($a: Int!) { product(id: $a) { id } }",
            "query($a: ID!) { products(search: $a) { nodes { id } } }",
            "query($a: [ID!]!) { product(id: $a) { id } }",
            "query($a: ID) { ...F } fragment F on Query { product(id: $a) { id } }",
            "query($b: Boolean) { me { id @skip(if: $b) } }",
            "query($b: Boolean = null) { me { id @include(if: $b) } }",
            "query($b: String!) { me { id @skip(if: $b) } }",
            "query($a: OrderStatus) { orders(statuses: $a) { nodes { id } } }",
            "query($a: OrderStatus!) { orders(statuses: $a) { nodes { id } } }",
            "query($a: OrderStatus) { orders(statuses: [$a]) { nodes { id } } }",
            "query($a: [OrderStatus]) { orders(statuses: $a) { nodes { id } } }",
            "query($a: [OrderStatus!]) { orders(statuses: [$a]) { nodes { id } } }",
            "query($a: String!) { orders(statuses: [$a]) { nodes { id } } }",
            "mutation($q: Int) { createOrder(input: {items: {productId: 1, quantity: $q}}) { order { id } } }",
            "mutation($q: Int = null) { createOrder(input: {items: {productId: 1, quantity: $q}}) { order { id } } }",
            "mutation($q: [Int!]!) { createOrder(input: {items: {productId: 1, quantity: $q}}) { order { id } } }",
            "mutation($i: [OrderItemInput]!) { createOrder(input: {items: $i}) { order { id } } }",
            "mutation($i: OrderItemInput!) { createOrder(input: {items: $i}) { order { id } } }",
            "mutation($i: CreateOrderInput) { createOrder(input: $i) { order { id } } }",
            "mutation($w: String) { createOrder(input: {items: []}, wait: $w) { order { id } } }",
        ],
    },
    Rule {
        name: "field selection merging",
        valid: &[
            "{ me { id id } }",
            "{ me { a: id a: id } }",
            "{ a: product(id: 1) { id } b: product(id: 2) { id } }",
            "{ product(id: 1) { id } product(id: 1) { name } }",
            "{ orders(first: 1, after: \"x\") { nodes { id } } orders(after: \"x\", first: 1) { nodes { status } } }",
            "query($a: ID!) { product(id: $a) { id } product(id: $a) { name } }",
            "{ me { id @include(if: true) id @include(if: false) } }",
            "{ orders(statuses: [SHIPPED]) { nodes { id } } orders(statuses: [SHIPPED]) { nodes { status } } }",
            "mutation { createOrder(input: {items: [], idempotencyKey: \"k\"}) { order { id } }
             createOrder(input: {idempotencyKey: \"k\", items: []}) { replayed } }",
        ],
        invalid: &[
            "{ me { id: name id } }",
            "{ me { x: id x: name } }",
            "{ product(id: 1) { id } product(id: 2) { id } }",
            "{ product(id: 1) { id } product(id: \"1\") { id } }",
            "{ orders { nodes { id } } orders(first: 1) { nodes { id } } }",
            "{ orders(first: 1) { nodes { id } } orders(last: 1) { nodes { id } } }",
            "{ orders(statuses: [SHIPPED]) { nodes { id } } orders(statuses: [SHIPPED, PENDING]) { nodes { id } } }",
            "{ orders(statuses: [SHIPPED, PENDING]) { nodes { id } } orders(statuses: [SHIPPED]) { nodes { id } } }",
            "{ orders(statuses: [SHIPPED]) { nodes { id } } orders(statuses: SHIPPED) { nodes { id } } }",
            "{ orders(statuses: []) { nodes { id } } ...F } fragment F on Query { orders(statuses: [PENDING]) { nodes { id } } }",
            "query($a: ID!, $b: ID!) { product(id: $a) { id } product(id: $b) { id } }",
            "{ me { x: id } me { x: name } }",
            "{ me { ...A ...B } } fragment A on Customer { x: id } fragment B on Customer { x: name }",
            "{ ...A ...B } fragment A on Query { product(id: 1) { id } } fragment B on Query { product(id: 2) { name } }",
            "{ me { orders { nodes { x: id } } } me { orders { nodes { x: status } } } }",
            "{ me { orders(first: 1) { nodes { id } } } ... { me { orders(first: 2) { nodes { id } } } } }",
            "{ x: me { id } x: product(id: 1) { id } }",
            "{ x: orders { nodes { id } } x: products { nodes { id } } }",
            "{ product(id: 1) { id } product(id: 2) @include(if: false) { id } }",
            "{ orders(statuses: [SHIPPED]) { nodes { id } }
               orders(statuses: [SHIPPED, PENDING]) @skip(if: true) { nodes { id } } }",
            "mutation { createOrder(input: {items: [{productId: 1, quantity: 1}]}) { order { id } }
             createOrder(input: {items: [{productId: 1, quantity: 2}]}) { order { id } } }",
            "mutation { createOrder(input: {items: [{productId: 1, quantity: 1}]}) { order { id } }
             createOrder(input: {items: [{productId: 1, quantity: 1}, {productId: 2, quantity: 1}]}) { order { id } } }",
        ],
    },
    Rule {
        name: "unique input field names",
        valid: &["mutation { createOrder(input: {items: [], shippingAddress: \"a\", idempotencyKey: \"b\"}) { order { id } } }"],
        invalid: &[
            "mutation { createOrder(input: {items: [], items: []}) { order { id } } }",
            "mutation { createOrder(input: {items: [{productId: 1, quantity: 1, quantity: 1}]}) { order { id } } }",
            "mutation { createOrder(input: {items: [{productId: 1, quantity: 1}, {productId: 2, productId: 2, quantity: 1}]})
             { order { id } } }",
            "mutation($i: CreateOrderInput! = {items: [], items: []}) { createOrder(input: $i) { order { id } } }",
        ],
    },
    Rule {
        name: "syntax",
        valid: &[
            "query Q { me { id } }",
            "\u{feff}{ me { id } }",
            "{ me { id } } # comment",
            "{me{id,,,name}}",
            "query on { me { id } }",
            "query fragment($query: ID!) { mutation: product(id: $query) { true: id null: name } }",
            "{ ...onX } fragment onX on Query { me { id } }",
            "\"What I am\" query Q(\"which\" $x: ID! \"\"\"how\nmany\"\"\" $n: Int = 1) { product(id: $x) { id } orders(first: $n)
             { nodes { id } } } \"\"\"a part\"\"\" fragment F on Query { me { id } } query R { ...F }",
            "query($x: String = \"a\" \"described\" $y: String = \"b\") { a: products(search: $x) { nodes { id } }
             b: products(search: $y) { nodes { id } } }",
        ],
        invalid: &[
            "",
            "# nothing",
            "{",
            "{ }",
            "{ me { id }",
            "{ me { id } } }",
            "query Q() { me { id } }",
            "{ me() { id } }",
            "{ ...on } fragment on on Query { me { id } }",
            "fragment F { id } { me { ...F } }",
            "{ me { ... } }",
            "{ product(id: 01) { id } }",
            "{ product(id: 1x) { id } }",
            "{ orders(first: 1.) { nodes { id } } }",
            "{ orders(first: .5) { nodes { id } } }",
            "{ orders(first: +1) { nodes { id } } }",
            "{ orders(first: --1) { nodes { id } } }",
            "{ product(id: \"1) { id } }",
            "{ product(id: \"1\n\") { id } }",
            "{ product(id: \"\\q\") { id } }",
            "{ product(id: \"\\uD800\") { id } }",
            "{ product(id: \"\\uDC00\") { id } }",
            "{ product(id: \"\\uD83D\\u0041\") { id } }",
            "{ product(id: \"\\u{110000}\") { id } }",
            "{ product(id: \"\\u{D83D}\") { id } }",
            "{ product(id: \"\\u{}\") { id } }",
            "{ product(id: \"\\u12\") { id } }",
            "{ product(id: $) { id } }",
            "{ product(id) { id } }",
            "{ product(id:) { id } }",
            "query($x: ID = [$y]) { product(id: $x) { id } }",
            "{ 1: me { id } }",
            "{ me { id } }\u{0}",
            "\"short operations have none\" { me { id } }",
            "\"one\" \"two\" query Q { me { id } }",
            "{ \"none here\" me { id } }",
            "query(\"one\" \"two\" $x: ID!) { product(id: $x) { id } }",
            "query($x: ID! \"after\") { product(id: $x) { id } }",
            "{ me { id } } \"alone\"",
            "{ me.id }",
            "{ me? { id } }",
            "notAnOperation Q { me { id } }",
            "query ($x) { me { id } }",
            "query ($x: ID!!) { product(id: $x) { id } }",
            "query ($x: [ID) { product(id: $x) { id } }",
        ],
    },
];

#[tokio::test]
async fn each_rule_accepts_what_is_valid_and_refuses_what_is_not() {
    let api = ApiGateway::start().await;
    let mut socket = api.socket().await;
    let mut wrong = Vec::new();
    for rule in RULES {
        let valid = rule.valid.iter().map(|document| (document, true));
        for (document, is_valid) in valid.chain(rule.invalid.iter().map(|document| (document, false))) {
            // It has no such operation, which is found out once the document is known to be valid, and runs nothing.
            let request = json!({ "query": document, "operationName": "None" }).to_string();
            let over_http = api.send(Transport::Http, &request).await;
            let through_socket = through_socket(&mut socket, "1", &request).await;
            for response in [over_http, through_socket] {
                let error = &response["errors"][0];
                let expected = match error["extensions"]["code"].as_str() {
                    Some("OPERATION_RESOLUTION_FAILURE") => is_valid,
                    Some("GRAPHQL_VALIDATION_FAILED" | "GRAPHQL_PARSE_FAILED") => {
                        !is_valid && error["locations"][0]["line"].is_u64()
                    }
                    _ => false,
                };
                if !expected {
                    wrong.push(format!("{}: {document}\n    {response}", rule.name));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
