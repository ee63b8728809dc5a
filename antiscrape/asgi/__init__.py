"""The rooms that speak ASGI: nobody else says scope, receive or send."""
