"""The documents of the API and of the topics, made from the code; and the page that shows the API's."""
