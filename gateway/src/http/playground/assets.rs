//! The files of the page, pinned. The build script reads this list, too.

/// The base address of the files in a build that does not hold them. It serves npm's files unchanged.
pub const CDN: &str = "https://cdn.jsdelivr.net/npm";

/// A file of an npm package. Browsers refuse it unless its bytes have this hash.
#[derive(Clone, Copy, Debug)]
pub struct Asset {
    pub package: &'static str,
    pub version: &'static str,
    /// The file's path inside the package.
    pub path: &'static str,
    /// Its SHA-384 as a subresource integrity value.
    pub integrity: &'static str,
}

impl Asset {
    /// The file's address below `base`, which has the layout of [`CDN`].
    pub fn url(&self, base: &str) -> String {
        let Self { package, version, path, .. } = self;
        format!("{}/{package}@{version}/{path}", base.trim_end_matches('/'))
    }
}

pub const STYLES: [Asset; 1] = [Asset {
    package: "graphiql",
    version: "4.1.2",
    path: "graphiql.min.css",
    integrity: "sha384-1el1QShFBnnXTx9x/Cprg82hZWKt0ry29OAYIXt05swbi0KcZDFoj0CWguMpopJr",
}];

/// The page's scripts, in the order they are loaded.
pub const SCRIPTS: [Asset; 4] = [
    Asset {
        package: "react",
        version: "18.3.1",
        path: "umd/react.production.min.js",
        integrity: "sha384-DGyLxAyjq0f9SPpVevD6IgztCFlnMF6oW/XQGmfe+IsZ8TqEiDrcHkMLKI6fiB/Z",
    },
    Asset {
        package: "react-dom",
        version: "18.3.1",
        path: "umd/react-dom.production.min.js",
        integrity: "sha384-gTGxhz21lVGYNMcdJOyq01Edg0jhn/c22nsx0kyqP0TxaV5WVdsSH1fSDUf5YJj1",
    },
    Asset {
        package: "graphql-ws",
        version: "6.0.6",
        path: "umd/graphql-ws.min.js",
        integrity: "sha384-L1uJSNgAjZOt7z6iPU+1qyztx98nQKw6uivIFC4oPZlOoimpFurLFG/Ysyo4BkAp",
    },
    Asset {
        package: "graphiql",
        version: "4.1.2",
        path: "graphiql.min.js",
        integrity: "sha384-9XdHu7ajgGJziD4J1zNBKQ842Q/+zZfDv+ib1eMhZWBH6hPAs806x+Jbcf0yNO6B",
    },
];
