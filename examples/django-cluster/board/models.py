from django.db import models


class Message(models.Model):
    content = models.TextField()
    #: The node that wrote the message.
    node_name = models.CharField(max_length=100)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self):
        return self.content
