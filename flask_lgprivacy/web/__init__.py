"""Everything Flask and WSGI: middleware, decorators, dispatch, problem details, views."""
