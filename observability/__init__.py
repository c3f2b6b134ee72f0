"""What watches the service: rules, routes, a dashboard, runbooks, and the means to try them."""
