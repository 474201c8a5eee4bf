//! Routes that know what they take and what they answer. The router and the OpenAPI document come from the same page, `http/mod.rs`:
//! what a route takes and answers is in its handler's signature, so that a route cannot be left out and its shapes cannot be others.

use std::sync::Arc;

use axum::Router;
use axum::handler::Handler;
use axum::routing::MethodRouter;

use super::describe::{Documented, Operation, Schemas};
use super::openapi::describe_socket;
use crate::app::App;

/// Adds to an operation what its handler takes and answers.
pub type Describe = fn(&mut Schemas, &mut Operation);

/// A method of a path.
#[derive(Clone, Debug)]
pub struct Route {
    pub method: &'static str,
    pub path: String,
    pub describe: Describe,
}

/// As axum's router, with a list of its routes.
#[derive(Default)]
pub struct Routes {
    router: Router<Arc<App>>,
    routes: Vec<Route>,
}

impl Routes {
    pub fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn route(mut self, path: &str, methods: Methods) -> Self {
        let route = |(method, describe)| Route { method, path: path.to_owned(), describe };
        self.routes.extend(methods.methods.into_iter().map(route));
        Self { router: self.router.route(path, methods.router), ..self }
    }

    /// A WebSocket endpoint.
    #[must_use]
    pub fn socket<H, T>(mut self, path: &str, handler: H) -> Self
    where
        H: Handler<T, Arc<App>>,
        T: 'static,
    {
        self.routes.push(Route { method: "get", path: path.to_owned(), describe: describe_socket });
        Self { router: self.router.route(path, axum::routing::get(handler)), ..self }
    }

    #[must_use]
    pub fn nest(mut self, prefix: &str, inner: Self) -> Self {
        self.routes.extend(inner.routes.into_iter().map(|route| {
            let rest = if route.path == "/" { "" } else { &route.path };
            Route { path: format!("{prefix}{rest}"), ..route }
        }));
        Self { router: self.router.nest(prefix, inner.router), ..self }
    }

    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        self.routes.extend(other.routes);
        Self { router: self.router.merge(other.router), ..self }
    }

    pub fn into_router(self) -> Router<Arc<App>> {
        self.router
    }

    pub fn into_list(self) -> Vec<Route> {
        self.routes
    }
}

/// The methods of one path.
#[derive(Default)]
pub struct Methods {
    router: MethodRouter<Arc<App>>,
    methods: Vec<(&'static str, Describe)>,
}

macro_rules! methods {
    ($($name:ident)*) => {
        impl Methods {
            $(
                #[must_use]
                pub fn $name<H, T, P, A>(mut self, handler: H) -> Self
                where
                    H: Handler<T, Arc<App>> + Documented<P, A>,
                    T: 'static,
                {
                    self.methods.push((stringify!($name), H::describe));
                    Self { router: self.router.$name(handler), ..self }
                }
            )*
        }
        $(
            pub fn $name<H, T, P, A>(handler: H) -> Methods
            where
                H: Handler<T, Arc<App>> + Documented<P, A>,
                T: 'static,
            {
                Methods::default().$name(handler)
            }
        )*
    };
}

methods!(get post put patch delete);
